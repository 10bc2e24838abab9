"""Records calls of PyTorch as golden values: what was called, with which numbers, what came out, and the gradients.

A call is written once, with lazy arguments (`t(2, 3)`), and recorded in float32 and float64. Rondo's name and arguments
are those of the TypeScript call; `f` is what PyTorch is asked for in its place.
"""
import json
import math
import zlib

import numpy as np
import torch

NAMES = {torch.float32: "float32", torch.float64: "float64", torch.float16: "float16", torch.bfloat16: "bfloat16",
         torch.int32: "int32", torch.int64: "int64", torch.uint8: "uint8", torch.bool: "bool"}  # fmt: skip
DTYPES = {name: dtype for dtype, name in NAMES.items()}


class Lazy:
    """A tensor argument whose dtype is chosen by the recorder, unless it has its own."""

    def __init__(self, make, dtype=None, grad=True):
        self.make, self.dtype, self.grad = make, dtype, grad


def t(*shape, lo=-2.0, hi=2.0):
    """Uniform numbers; every call draws its own."""
    # Rounded to float32, so that both widths start from the same numbers.
    return Lazy(lambda r: r.uniform(lo, hi, shape).astype(np.float32).astype(np.float64))


def v(values):
    """These numbers."""
    return Lazy(lambda r: np.array(values, np.float64))


def whole(values, dtype):
    """These numbers as integers or bools; no gradient."""
    return Lazy(lambda r: np.array(values), DTYPES[dtype], False)


def idx(high, *shape):
    """int32 indices below `high`. PyTorch is handed int64."""
    return Lazy(lambda r: r.randint(0, high, shape), torch.int64, False)


def index(values):
    return Lazy(lambda r: np.array(values, np.int64).reshape(np.shape(values)), torch.int64, False)


def mask(*shape):
    return Lazy(lambda r: r.randint(0, 2, shape).astype(bool), torch.bool, False)


def const(lazy):
    """The same argument, without a gradient."""
    return Lazy(lazy.make, lazy.dtype, False)


class Recorder:
    """Calls and their tensors; `wanted(op)` says whether an operation is to be recorded."""

    def __init__(self, wanted):
        self.wanted, self.tensors, self.calls, self.counts = wanted, {}, [], {}

    def put(self, name, tensor, narrow):
        x = tensor.detach()
        if x.dtype == torch.int64 and narrow:
            x = x.to(torch.int32)  # Rondo's default integer
        self.tensors[name] = x.contiguous().numpy() if x.dtype not in (torch.bfloat16,) else x
        return name

    def resolve(self, arg, dtype, rng, leaves):
        if isinstance(arg, Lazy):
            x = torch.tensor(arg.make(rng), dtype=arg.dtype or dtype)
            x.requires_grad_(arg.grad and x.dtype.is_floating_point)
            leaves.append(x)
            return x
        if isinstance(arg, (list, tuple)):
            return [self.resolve(a, dtype, rng, leaves) for a in arg]
        if isinstance(arg, dict):
            return {k: self.resolve(a, dtype, rng, leaves) for k, a in arg.items()}
        return arg

    def encode(self, arg, names, narrow):
        if isinstance(arg, torch.Tensor):
            name = f"{len(self.calls)}.in{len(names)}"
            names.append(name)
            return {"$": self.put(name, arg, narrow)}
        if isinstance(arg, (list, tuple)):
            return [self.encode(a, names, narrow) for a in arg]
        if isinstance(arg, dict):
            return {k: self.encode(a, names, narrow) for k, a in arg.items()}
        if isinstance(arg, float) and not math.isfinite(arg):
            return {"#": "NaN" if math.isnan(arg) else "Infinity" if arg > 0 else "-Infinity"}
        return arg

    def call(self, op, args, f, *, grad=True, dtypes=("float32", "float64"), label="", in_place=False, keep64=False):
        """Records `op(*args)`, for which PyTorch computes `f(*args)`. Calls that PyTorch refuses raise."""
        for dtype in dtypes if self.wanted(op) else ():
            self.one(op, args, f, grad and dtype.startswith("float"), dtype, label, in_place, keep64)

    def one(self, op, args, f, grad, dtype, label, in_place, keep64):
        number = self.counts[op] = self.counts.get(op, 0) + 1
        # Numbers depend on the operation and the call alone, so that adding a case moves no other.
        rng = np.random.RandomState(zlib.crc32(f"{op} {label} {json.dumps(args, default=lambda a: 't')}".encode()))
        leaves, names = [], []
        real = self.resolve(args, DTYPES[dtype], rng, leaves)
        has64 = keep64 or any(x.dtype == torch.int64 and a.dtype is None for x, a in zip(leaves, flat(args)))
        entry = {"id": f"{label or describe(args)} {number}", "op": op, "dtype": dtype,
                 "args": self.encode(real, names, not has64)}  # fmt: skip
        clones = [x.clone() for x in leaves] if in_place else None
        result = f(*(replace(real, leaves, clones) if in_place else real))
        outputs = list(result) if isinstance(result, (tuple, list)) else [result]
        base = len(self.calls)
        entry["out"] = [self.put(f"{base}.out{k}", y, not has64) for k, y in enumerate(outputs)]
        if in_place:
            entry["inPlace"] = True
        roots = [y for y in outputs if y.dtype.is_floating_point and y.requires_grad]
        wanted = [x for x in leaves if x.requires_grad]
        if grad and roots and wanted:
            cots = [weights(y, k) if any(y is root for root in roots) else None for k, y in enumerate(outputs)]
            grads = torch.autograd.grad(roots, wanted, [c for c in cots if c is not None], allow_unused=True)
            entry["cotangents"] = [None if c is None else self.put(f"{base}.cot{k}", c, True) for k, c in enumerate(cots)]
            found = iter(grads)
            entry["grads"] = []
            for k, x in enumerate(leaves):
                g = next(found) if x.requires_grad else None
                entry["grads"].append(None if g is None else self.put(f"{base}.grad{k}", g, True))
        self.calls.append(entry)


def weights(y, k):
    """Fixed gradients of a result that differ from element to element."""
    n = y.numel()
    return (0.5 + 0.25 * ((torch.arange(n) * 5 + 3 * k) % 7)).to(y.dtype).reshape(y.shape)


def flat(arg):
    if isinstance(arg, Lazy):
        return [arg]
    if isinstance(arg, (list, tuple)):
        return [x for a in arg for x in flat(a)]
    return [x for a in arg.values() for x in flat(a)] if isinstance(arg, dict) else []


def replace(arg, old, new):
    if isinstance(arg, torch.Tensor):
        return new[next(i for i, x in enumerate(old) if x is arg)]
    if isinstance(arg, (list, tuple)):
        return [replace(a, old, new) for a in arg]
    return {k: replace(a, old, new) for k, a in arg.items()} if isinstance(arg, dict) else arg


def describe(args):
    def text(a):
        if isinstance(a, Lazy):
            shape = np.shape(a.make(np.random.RandomState(0)))
            return f"({','.join(map(str, shape))})"
        if isinstance(a, dict):
            return "{" + ", ".join(f"{k}: {text(x)}" for k, x in a.items()) + "}"
        return f"[{', '.join(map(text, a))}]" if isinstance(a, (list, tuple)) else str(a)

    return text(args)
