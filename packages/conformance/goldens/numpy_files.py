"""Files that NumPy writes, for packages/core/src/numpy/goldens/files.json.

Run from the repository's root with Debian's python3-numpy (1.24):
    /usr/bin/python3 packages/conformance/goldens/numpy_files.py
Each entry: the file in base64, and what it holds: dtype, shape and values in C order (numbers as text), or why it is refused.
"""
import base64
import io
import json
import os
import warnings

import numpy as np

OUT = os.path.join(os.path.dirname(__file__), "..", "..", "core", "src", "numpy", "goldens")
warnings.simplefilter("ignore")
rng = np.random.default_rng(0)


def text(value):
    return "NaN" if value != value else ("Infinity" if value == np.inf else "-Infinity" if value == -np.inf else repr(value))


def contents(array):
    flat = array.astype(np.float64) if array.dtype.kind == "f" else array
    return {"dtype": array.dtype.name, "shape": list(array.shape), "values": [text(v) for v in flat.flatten().tolist()]}


def npy(array, version=None):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version)
    return file.getvalue()


arrays = {}
for name in "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64".split():
    dtype = np.dtype(name)
    if dtype.kind == "f":
        values = np.array([0.0, -0.0, 1.5, -2.25, np.inf, np.nan], dtype)
    elif dtype.kind == "b":
        values = np.array([True, False, True, True, False, False])
    else:
        info = np.iinfo(dtype)
        values = np.array([info.min, min(info.max, 2**63 - 1), 0, 1, 2, 3], dtype)
    arrays[name] = values.reshape(2, 3)
    arrays[f"{name}, big-endian"] = values.reshape(3, 2).astype(dtype.newbyteorder(">"))
arrays["a scalar"] = np.array(3.5)
arrays["a vector"] = np.arange(5, dtype=np.float32)
arrays["empty"] = np.zeros((0, 4), np.float32)
arrays["Fortran order"] = np.asfortranarray(rng.standard_normal((2, 3, 4)).astype(np.float32))
arrays["Fortran order, big-endian"] = np.asfortranarray(np.arange(6, dtype=">i2").reshape(2, 3))
entries = [{"name": name, "kind": "npy", "file": npy(array), **contents(array)} for name, array in arrays.items()]
for version in ((1, 0), (2, 0), (3, 0)):
    array = np.arange(6, dtype=np.int32).reshape(3, 2)
    entries.append({"name": f"version {version[0]}", "kind": "npy", "file": npy(array, version), **contents(array)})

record = np.zeros(2, np.dtype([("a", "<f4"), ("b", "<i4")]))
objects = io.BytesIO()
np.save(objects, np.array([{}, None], dtype=object), allow_pickle=True)
for name, file, why in (
    ("objects", objects.getvalue(), "unpickled"), ("records", npy(record), "several fields"),
    ("complex numbers", npy(np.zeros(2, np.complex64)), "complex numbers"), ("strings", npy(np.array(["ab", "c"])), "strings"),
    ("dates", npy(np.array(["2020-01-01"], "datetime64[D]")), "dates"), ("raw bytes", npy(np.zeros(2, "V3")), "raw bytes"),
    ("large integers", npy(np.array([2**63], np.uint64)), "2^63"),
):  # fmt: skip
    entries.append({"name": name, "kind": "refused", "file": file, "why": why})

held = {"w": rng.standard_normal((3, 4)), "labels": np.arange(7, dtype=np.int64), "zeros": np.zeros(1000, np.float32), "odd name/é": np.float16(2.5) * np.ones(1, np.float16)}
for name, save in (("savez", np.savez), ("savez_compressed", np.savez_compressed)):
    file = io.BytesIO()
    save(file, **held)
    entries.append({"name": name, "kind": "npz", "file": file.getvalue(), "arrays": {k: contents(np.asarray(v)) for k, v in held.items()}})

os.makedirs(OUT, exist_ok=True)
with open(os.path.join(OUT, "files.json"), "w") as out:
    rows = ",\n".join(json.dumps({**entry, "file": base64.b64encode(entry["file"]).decode()}) for entry in entries)
    out.write(f"[\n{rows}\n]\n")
