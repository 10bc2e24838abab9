"""A small safetensors writer and reader on NumPy, for the scripts that write and check golden files.

Lays files out as the reference implementation does (widest elements first, then names by their UTF-8 bytes, header
padded with spaces to 8 bytes), with metadata sorted: equal content gives equal bytes.

    from safetensors_io import Bits, save
    save("golden.safetensors", {"x": numpy.zeros((2, 3), numpy.float32)}, {"torch": "1.13.1"})
    save("half.safetensors", {"y": Bits("BF16", numpy.array([0x3F80], numpy.uint16))})
"""
import json
import pathlib
import struct

import numpy as np

# Ascending order of the reference implementation's `enum Dtype`; files are written from the last to the first.
ORDER = (
    "BOOL F4 F6_E2M3 F6_E3M2 U8 I8 F8_E5M2 F8_E4M3 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ "
    "I16 U16 F16 BF16 I32 U32 F32 C64 F64 I64 U64"
).split()

NAMES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "int16": "I16", "uint16": "U16", "float16": "F16", "int32": "I32",
    "uint32": "U32", "float32": "F32", "complex64": "C64", "float64": "F64", "int64": "I64", "uint64": "U64",
}  # fmt: skip


class Bits:
    """Elements of a type that NumPy lacks (BF16, F8_E4M3, ...), given as unsigned integers of the same width."""

    def __init__(self, name, array):
        if name not in ORDER or name in ("F4", "F6_E2M3", "F6_E3M2"):
            raise ValueError(f"unknown or sub-byte dtype {name}")
        width = 1 if name.startswith("F8") else 2 if name == "BF16" else NAMES_WIDTH[name]
        array = np.asarray(array)
        if array.dtype.kind != "u" or array.dtype.itemsize != width:
            raise ValueError(f"{name} wants unsigned integers of {width} bytes, got {array.dtype}")
        self.name = name
        self.array = array


NAMES_WIDTH = {name: np.dtype(dtype).itemsize for dtype, name in NAMES.items()}


def serialize(tensors, metadata=None):
    """The bytes of a file with these arrays (NumPy arrays or Bits) and this string-to-string metadata."""
    items = []
    for name, value in tensors.items():
        if name == "__metadata__":
            raise ValueError("__metadata__ is reserved")
        if isinstance(value, Bits):
            kind, array = value.name, value.array
        else:
            array = np.asarray(value)
            if array.dtype.name not in NAMES:
                raise ValueError(f"{name}: no safetensors dtype for {array.dtype}")
            kind = NAMES[array.dtype.name]
        # ascontiguousarray would turn a scalar into shape [1]; tobytes gives row-major order by itself.
        data = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        items.append((kind, name, [int(n) for n in array.shape], data))
    items.sort(key=lambda item: (-ORDER.index(item[0]), item[1].encode()))

    header = {}
    if metadata:
        if not all(isinstance(k, str) and isinstance(v, str) for k, v in metadata.items()):
            raise ValueError("metadata must map strings to strings")
        header["__metadata__"] = dict(sorted(metadata.items(), key=lambda pair: pair[0].encode()))
    offset = 0
    for kind, name, shape, data in items:
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(item[3] for item in items)


def save(path, tensors, metadata=None):
    """Writes a file; its folder is made when missing."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(serialize(tensors, metadata))


def load(path):
    """The arrays of a file by name, and its metadata. Only for files of types that NumPy has; checks next to nothing."""
    data = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    dtypes = {kind: np.dtype(name).newbyteorder("<") for name, kind in NAMES.items()}
    arrays = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        arrays[name] = np.frombuffer(data[begin:end], dtypes[entry["dtype"]]).reshape(entry["shape"])
    return arrays, metadata
