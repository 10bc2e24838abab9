"""Writes packages/core/src/goldens/print.json: what PyTorch 1.13 and NumPy 1.24 print for many tensors.

Run with Debian's python3-torch:  /usr/bin/python3 packages/conformance/goldens/print.py
Each case holds data (numbers, or {"start", "step", "count"} for long ones), shape, dtype, options and the text.
"""
import contextlib
import json
import math
import pathlib
import struct

import numpy as np
import torch

TARGET = pathlib.Path(__file__).resolve().parents[2] / "core" / "src" / "goldens" / "print.json"
DTYPES = {
    name: getattr(torch, name)
    for name in ("float32", "float64", "float16", "bfloat16", "int32", "int64", "uint8", "bool")
}
inf, nan = math.inf, math.nan

# (data, shape, dtype, options, suffix); options and suffix use the names of the TypeScript API.
cases = []


def case(data, shape=None, dtype="float32", suffix=None, **options):
    if shape is None:
        shape = [len(data)] if isinstance(data, list) else [data["count"]]
    cases.append((data, list(shape), dtype, options, suffix or {}))


def ramp(count, start=0.0, step=1.0):
    """A long case in a few bytes. Start and step are multiples of powers of two, so every element is exact."""
    return {"start": start, "step": step, "count": count}


def elements(data):
    if isinstance(data, dict):
        return [data["start"] + data["step"] * i for i in range(data["count"])]
    return data


def make(data, shape, dtype):
    values = elements(data)
    if dtype in ("int32", "int64", "uint8"):
        values = [int(v) for v in values]
    return torch.tensor(values, dtype=DTYPES[dtype]).reshape(shape)


def plain(value):
    """JSON has no nan, infinities or -0, and JavaScript no integers past 2^53: those are written as strings."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return str(value) if abs(value) > 2**53 else value
    if math.isnan(value) or math.isinf(value) or (value == 0 and math.copysign(1, value) < 0):
        return repr(value)
    return int(value) if value == int(value) and abs(value) < 2**53 else value


def ours(text, dtype, empty):
    """The one departure: int32 is the default integer dtype, so int32 is silent and int64 is named."""
    if empty:
        return text  # PyTorch names every integer dtype of an empty tensor, and so do we
    if dtype == "int32":
        # The suffix may stand on a line of its own; only cases without further suffixes are made of int32.
        return text.replace(",\n       dtype=torch.int32)", ")").replace(", dtype=torch.int32)", ")")
    return text


@contextlib.contextmanager
def named_int64(dtype):
    """Makes PyTorch name int64, line break included, by treating the text of an int64 tensor as an int32's."""
    if dtype != "int64":
        yield
        return
    original = torch._tensor_str._add_suffixes

    def add(text, suffixes, indent, force_newline):
        if "dtype=torch.int64" not in suffixes:
            at = next((i for i, s in enumerate(suffixes) if s.startswith(("grad_fn", "requires"))), len(suffixes))
            suffixes = suffixes[:at] + ["dtype=torch.int64"] + suffixes[at:]
        return original(text, suffixes, indent, force_newline)

    torch._tensor_str._add_suffixes = add
    try:
        yield
    finally:
        torch._tensor_str._add_suffixes = original


@contextlib.contextmanager
def named_device(device):
    """PyTorch names a device that is not the default; a made-up one is put in by the same path."""
    if device is None:
        yield
        return
    original = torch._tensor_str._add_suffixes

    def add(text, suffixes, indent, force_newline):
        return original(text, [f"device='{device}'"] + suffixes, indent, force_newline)

    torch._tensor_str._add_suffixes = add
    try:
        yield
    finally:
        torch._tensor_str._add_suffixes = original


class Node:
    """Stands for the grad_fn of a tensor: PyTorch prints the name of its class."""


def torch_text(data, shape, dtype, options, suffix):
    torch.set_printoptions(profile="default")
    names = {"sciMode": "sci_mode"}
    torch.set_printoptions(**{names.get(k, k): inf if v == "Infinity" else v for k, v in options.items()})
    tensor = make(data, shape, dtype)
    if suffix.get("requiresGrad"):
        tensor.requires_grad_(True)
    if suffix.get("gradFn") == "TanhBackward0":
        tensor = torch.atanh(tensor.double()).to(tensor.dtype).requires_grad_(True).tanh()
    elif suffix.get("gradFn") == "CloneBackward0":
        tensor = tensor.requires_grad_(True).clone()
    with named_int64(dtype), named_device(suffix.get("device")):
        text = repr(tensor)
    torch.set_printoptions(profile="default")
    return tensor, ours(text, dtype, tensor.numel() == 0)


def nearest(dtype, values):
    """The values as the dtype holds them, so that the JSON carries exactly what was printed."""
    if not dtype.startswith(("float", "bfloat")):
        return values
    return torch.tensor(values, dtype=DTYPES[dtype]).double().tolist()


def float32_from_bits(bits):
    return struct.unpack("<f", struct.pack("<I", bits))[0]


def handmade():
    case([0.1, -2.5, 3.25])
    case([-0.35198, 0.52525, -0.68424, 0.76074], [2, 2])
    case([1.0] * 5 + [2.0] * 5 + [3.0] * 5, [3, 5])
    # whole numbers, signs, zeros
    case([1.0, -2.0, 300.0])
    case([0.0, -0.0])
    case([0.0] * 6, [2, 3])
    case([-0.0, 1.5])
    case([-0.0, 1.0, 100.0])
    case([1e8, 1.0])
    case([1e8]), case([100000008.0]), case([123456792.0, 5e8])
    case([1.0, 1000.0]), case([1.0, 1001.0]), case([16777216.0, 16777215.0])
    case([1e30, 2e30], sciMode=False), case([1e22, 1e21, 3.0], sciMode=False)
    # halves at the last printed digit round to even
    case([0.03125, 0.09375, 0.15625, -0.03125])
    case([0.5, 1.5, 2.5, 0.25], precision=0)
    case([0.125, 0.375, 0.625], precision=2)
    case([1.25e-5, 1.75e-5, 2.5], precision=1)
    # choice of scientific notation
    case([1e-4, 0.05]), case([9.9e-5, 0.05]), case([1e-4]), case([9.999e-5])
    case([0.001, 1.0]), case([0.001, 1.001]), case([0.5, 500.0]), case([0.5, 500.5])
    case([1e-10, 1.0, 1e10]), case([1e-10, 1e30]), case([1e30, -1e-30, 0.0, 5.5])
    case([99999999.5, 1e8 + 0.5], dtype="float64")
    case([1e-40, 1e-45, 3e-39]), case([1e-45]), case([5e-324, 1e308], dtype="float64")
    case([9.99996, 99999.6, 0.0001]), case([9.99995e22, 1e23], dtype="float64")
    case([1e23], dtype="float64", precision=15), case([1e23, 0.1], dtype="float64", precision=20)
    case([0.1, 1 / 3, 2e100], dtype="float64"), case([1e-100, 1e100, -1e-300], dtype="float64")
    # nan and infinities
    case([nan, inf, -inf]), case([nan]), case([inf, 1.0]), case([-inf, 1.5, nan]), case([nan, 1e-10, -inf, 1e10])
    case([nan, 0.0, -0.0]), case([inf, 1e10, 3.0]), case([nan, -nan], dtype="float64")
    case([nan, inf, 0.0], sciMode=True), case([0.0, 0.0], sciMode=True)
    case([nan, inf, 0.5], sciMode=True), case([1.0, 2.0, inf], sciMode=True)
    case([1.0, 2000.0, inf], sciMode=False), case([1e-6, 2000.5], sciMode=False), case([1e10, 0.5], sciMode=False)
    # precision, linewidth, profiles
    case([math.pi, math.e], precision=10), case([math.pi, math.e], precision=10, dtype="float64")
    case([math.pi, -1e-7], precision=0), case([1.0, 5000.0], precision=0), case([math.pi], precision=1, sciMode=True)
    case(ramp(30, -7.0, 0.25)), case(ramp(30, -7.0, 0.25), linewidth=40), case(ramp(30), linewidth=20)
    case(ramp(8), linewidth=1), case(ramp(24, 0.0, 0.5), [2, 12], linewidth=30)
    case(ramp(40, 0.0, 0.125), [1, 2, 20]), case(ramp(24), [2, 3, 4], linewidth=16)
    case(ramp(100, 0.5, 0.5), profile="short"), case(ramp(1200, 0.5, 0.5), profile="short")
    case(ramp(1500, 0.0, 0.5), [30, 50], profile="short"), case(ramp(1001), profile="full")
    case(ramp(20, 0.0, 0.25), profile="short", precision=3), case(ramp(4, 0.0, 0.25), profile="full", precision=1)
    # shapes
    case([1.5], []), case([2.0], []), case([nan], []), case([-inf], []), case([0.0], []), case([-0.0], [])
    case([1e-7], []), case([1e20], []), case([123456.789], []), case([1.5], [1]), case([1.5], [1, 1, 1, 1])
    for shape in ([0], [0, 3], [2, 0], [1, 0, 4], [0, 0]):
        for dtype in DTYPES:
            case([], shape, dtype)
    case(ramp(24, 0.0, 0.5), [2, 3, 4]), case(ramp(24), [4, 3, 2]), case(ramp(24), [2, 1, 3, 4])
    case(ramp(48, -5.0, 0.25), [2, 2, 3, 4]), case(ramp(32), [2, 2, 2, 2, 2])
    # summaries
    case(ramp(1000)), case(ramp(1001)), case(ramp(2000, -1000.0, 0.5)), case(ramp(7), threshold=0)
    case(ramp(6), threshold=5), case(ramp(7), threshold=5), case(ramp(8), threshold=5, edgeitems=1)
    case(ramp(2000), [40, 50]), case(ramp(2000), [2, 1000]), case(ramp(2000), [1000, 2]), case(ramp(2000), [2000, 1])
    case(ramp(3000, 0.0, 0.5), [10, 30, 10]), case(ramp(4096), [8, 8, 8, 8]), case(ramp(2400), [2, 3, 4, 100])
    case(ramp(2000, 0.0, 0.25), [40, 50], edgeitems=2), case(ramp(2000, 0.0, 0.25), [40, 50], edgeitems=20)
    case(ramp(2000, 0.0, 0.25), [40, 50], linewidth=40), case(ramp(64), [8, 8], threshold=10)
    case(ramp(64), [8, 8], threshold="Infinity"), case(ramp(2000), dtype="int32"), case(ramp(1100), [11, 100], "int64")
    # the middle of a summary does not decide about notation
    case([1.5, 2.5, 3.5, 1e20, 4.5, 5.5, 6.5], threshold=5), case([1.5, 2.5, 1e20, 3.5, 4.5, 5.5, 6.5], threshold=5)


def integers():
    case([1, -22, 333], dtype="int32"), case([1, -22, 333], dtype="int64"), case([0, 7, 255], dtype="uint8")
    case([True, False, True], dtype="bool"), case([True, True], dtype="bool"), case([True], [], "bool")
    case([False], [], "bool"), case([5], [], "int32"), case([-5], [], "int64"), case([200], [], "uint8")
    case([2**31 - 1, -(2**31)], dtype="int32"), case([2**63 - 1, -(2**63), 0], dtype="int64")
    case([True, False] * 8, [4, 4], "bool"), case(ramp(12), [3, 4], "uint8"), case(ramp(60, -30.0), [2, 30], "int32")
    case(ramp(60, -30.0), [60], "int64"), case(ramp(60), [60], "uint8"), case(ramp(27), [3, 3, 3], "int64")
    # the suffix that would pass the line's end goes on a new line
    for count in range(16, 21):
        case(ramp(count), dtype="int64")
        case(ramp(count), dtype="uint8")
    case(ramp(10), dtype="int64", linewidth=30), case([3, 4], dtype="int64", precision=1, sciMode=True)


def halves():
    values = [0.1, -2.5, 3.25, 100.7]
    for dtype in ("float16", "bfloat16", "float64"):
        case(values, dtype=dtype)
        case([1.0, 2.0, 3.0], dtype=dtype)
        case([1.0, 65504.0], dtype=dtype)
        case([6e-8, 1e-3, 0.5, 1024.5], dtype=dtype)
        case([nan, inf, 0.333], [3, 1], dtype)
        case(ramp(12, 0.0, 0.25), [3, 4], dtype)
        case(ramp(200), [20, 10], dtype, threshold=100)
    case([3e38, 1e-38], dtype="bfloat16"), case([5e-8, 1e-7], dtype="float16")


def suffixes():
    grad = {"requiresGrad": True}
    case([0.5, 1.5], suffix=grad), case([0.5], [], suffix=grad), case([0.5, 1.5], dtype="float64", suffix=grad)
    case([], [0, 3], suffix=grad), case([0.5, -0.25], suffix={"gradFn": "TanhBackward0"})
    case([1.0, 2.0, 3.0, 4.0], [2, 2], suffix={"gradFn": "CloneBackward0"})
    case([1.0, 2.0], dtype="float64", suffix={"gradFn": "CloneBackward0"})
    for count in range(5, 11):
        case(ramp(count, 0.0, 0.5), suffix={"gradFn": "CloneBackward0"})
        case(ramp(count, 0.0, 0.5), dtype="float64", suffix=grad)
    case([1.0, 2.0], suffix={"device": "wasm-simd"}), case([1, 2], dtype="int64", suffix={"device": "cuda:0"})
    case([1.0, 2.0], dtype="float64", suffix={"device": "webgpu", "requiresGrad": True})
    case(ramp(7, 0.0, 0.5), dtype="float16", suffix={"device": "wasm-simd", "gradFn": "CloneBackward0"})
    case([], [0, 2], "int32", suffix={"device": "cuda:0"}), case([1.0], [], linewidth=10, suffix=grad)


def random_cases():
    """Random bits and random magnitudes from a fixed stream, so that nobody chose the values."""
    source = np.random.RandomState(20)
    for index in range(60):
        count = int(source.randint(1, 9))
        kind = index % 4
        if kind == 0:
            bits = source.randint(0, 2**32, count, dtype=np.uint32)
            data = [float32_from_bits(int(b)) for b in bits]
        elif kind == 1:
            data = (source.randn(count) * 10.0 ** source.randint(-6, 9)).tolist()
        elif kind == 2:
            data = (source.randn(count) * 10.0 ** source.uniform(-3, 3, count)).tolist()
        else:
            data = np.round(source.randn(count) * 10.0 ** source.randint(0, 10)).tolist()
        dtype = ("float32", "float64", "float32", "float16" if kind == 2 else "float32", "bfloat16")[index % 5]
        options = {}
        if index % 3 == 0:
            options = {"precision": int(source.randint(0, 12)), "linewidth": int(source.randint(20, 90))}
        case(data, dtype=dtype, **options)


def numpy_cases():
    """What `print(tensor.numpy())` prints: every case above of a dtype that NumPy has, and some of its own."""
    seen = set()
    result = []
    own = [
        ([-0.4701929, 0.5863904], [1, 2], "float32"), ([-1.3074701, 1.886489], [1, 2], "float32"),
        ([1e-5, 1.2345678e-5], [2], "float32"), ([1e-5], [1], "float32"), ([1e-5, 1.0], [2], "float64"),
        ([2.0**-9, 3 * 2.0**-9], [2], "float32"), ([2.0**-9, 2.0**-27], [2], "float64"),
        ([2.0**k for k in range(-149, 128, 23)], [13], "float32"), ([2.0**-k for k in range(0, 13)], [13], "float32"),
        ([2.0**k for k in range(-24, 16, 3)], [14], "float16"), ([90000008.0, 1.5e6], [2], "float32"),
        ([9.99999999e-5], [1], "float32"), ([1e-4], [1], "float32"), ([1e-4], [1], "float16"), ([1e-4], [1], "float64"),
        ([99999999.0, 1e5], [2], "float64"), ([0.1, 0.2, 0.30000001], [3], "float32"),
        ([1e-300, 1e300], [2], "float64"),
        ([1e-300, 1.5e300, -2.0], [3], "float64"), ([1e15], [], "float64"), ([1e16], [], "float64"),
        ([1e16], [], "float32"), ([65504.0], [], "float16"), ([1e-4], [], "float32"), ([1.0, 1000.5], [2], "float16"),
        ([1.0, 1000.1], [2], "float32"), ([0.5, 500.25], [2], "float16"), ([1 / 3, 2 / 3], [2], "float64"),
        ([33554432.0, 67108864.0], [2], "float32"), ([nan, -inf, 1e-9], [3], "float32"),
        ([-nan, 123456.7], [2], "float32"),
        ([65504.0, 2049.0, 0.5], [3], "float16"), ([1.0, 1e-8, 1e-9], [3], "float64"), ([0.1, 1e8], [2], "float64"),
    ]
    own += [([2.0**k], [], "float32") for k in range(-140, 127, 9)]
    own += [([2.0**k], [], "float16") for k in range(-24, 16)]
    for data, shape, dtype in own + [(c[0], c[1], c[2]) for c in cases]:
        key = json.dumps([data, shape, dtype])
        if dtype == "bfloat16" or key in seen or (shape and max(shape) > 1001):
            continue
        seen.add(key)
        tensor = make(data, shape, dtype)
        result.append(record(data, shape, dtype, str(tensor.numpy())))
    return result


def record(data, shape, dtype, text, options=None, suffix=None):
    values = data if isinstance(data, dict) else [plain(v) for v in nearest(dtype, data)]
    row = {"data": values, "shape": shape, "dtype": dtype, "text": text}
    if options:
        row["options"] = options
    if suffix:
        row["suffix"] = suffix
    return row


def main():
    for build in (handmade, integers, halves, suffixes, random_cases):
        build()
    rows = []
    for data, shape, dtype, options, suffix in cases:
        tensor, text = torch_text(data, shape, dtype, options, suffix)
        # After tanh(atanh(x)) the values may differ in the last bit: record what was printed.
        kept = tensor.detach().double().reshape(-1).tolist() if suffix.get("gradFn") == "TanhBackward0" else data
        rows.append(record(kept, shape, dtype, text, options, suffix))
    result = {
        "from": f"torch {torch.__version__}, numpy {np.__version__}",
        "torch": rows,
        "numpy": numpy_cases(),
    }
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    head = f'{{"from":{json.dumps(result["from"])},\n'
    blocks = [
        f'"{name}":[\n' + ",\n".join(json.dumps(row, separators=(",", ":")) for row in result[name]) + "\n]"
        for name in ("torch", "numpy")
    ]
    TARGET.write_text(head + ",\n".join(blocks) + "}\n")
    print(f"{len(rows)} + {len(result['numpy'])} cases, {TARGET.stat().st_size} bytes")


main()
