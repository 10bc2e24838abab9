"""Writes ops.safetensors: what PyTorch computes for every operation of Rondo's tables and every recurrent layer, and its
gradients.

    /usr/bin/python3 ops.py

Needs PyTorch 1.13.1 and NumPy (Debian: python3-torch). The file is committed; tests need no Python. Running this again
gives the same bytes. Names of operations are read from core's tables, so that only what exists is recorded.
"""
import json
import pathlib
import re
import sys
import warnings

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import torch

import ops_elementwise
import ops_indexing
import ops_recurrent
import ops_structured
from golden_calls import DTYPES, NAMES, Recorder
from safetensors_io import save

HERE = pathlib.Path(__file__).parent
PROMOTING = {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "lt": torch.lt, "eq": torch.eq, "maximum": torch.maximum,
             "remainder": torch.remainder, "pow": torch.pow, "atan2": torch.atan2}  # fmt: skip
SCALARS = {"b": True, "i": 2, "f": 1.5}


def known():
    names = set()
    for path in (HERE / "../../core/src/ops").glob("*.ts"):
        names |= set(re.findall(r"export const (\w+)", path.read_text()))
    return names


def result(f, a, b):
    try:
        return NAMES[f(a, b).dtype]
    except RuntimeError:
        return None


def promotions():
    rows = []
    for op, f in PROMOTING.items():
        for a in DTYPES:
            x = torch.ones(2, dtype=DTYPES[a])
            for b in DTYPES:
                rows.append({"op": op, "a": a, "b": b, "result": result(f, x, torch.ones(2, dtype=DTYPES[b]))})
                if op in ("add", "div", "lt"):
                    rows.append({"op": op, "a": a, "b": b, "zeroDim": True, "result": result(f, x, torch.ones((), dtype=DTYPES[b]))})
            if op not in ("atan2", "maximum"):
                rows += [{"op": op, "a": a, "b": kind, "result": result(f, x, n)} for kind, n in SCALARS.items()]
    return rows


def draw(step, recorder, name):
    f, args = step
    if f in ("rand", "randn"):
        x = getattr(torch, f)(*args[0], dtype=DTYPES[args[1]] if len(args) > 1 else None)
    elif f == "randint":
        x = torch.randint(args[0], args[1], args[2]).to(torch.int32)
    elif f == "randperm":
        x = torch.randperm(args[0]).to(torch.int32)
    elif f == "bernoulli":
        x = torch.bernoulli(torch.tensor(args[0]))
    elif f == "multinomial":
        x = torch.multinomial(torch.tensor(args[0]), args[1], replacement=args[2]).to(torch.int32)
    elif f == "dropout":
        # Of ones: the mask, already scaled.
        x = torch.nn.functional.dropout(torch.ones(args[0]), args[1], True)
    else:
        x = getattr(torch.zeros(args[0]), f)(*args[1:])
    recorder.tensors[name] = x.numpy()
    return {"f": f, "args": list(args), "out": name}


def draws(recorder):
    steps = [("rand", [[5]]), ("randn", [[3]]), ("randn", [[4, 5]]), ("randint", [0, 10, [7]]), ("rand", [[2, 3], "float64"]), ("randn", [[17], "float64"]),
             ("randperm", [11]), ("bernoulli", [[0.1, 0.5, 0.9, 0.0, 1.0]]), ("dropout", [[4, 6], 0.3]), ("dropout", [[40], 0.5]), ("uniform_", [[2, 5], -1, 2]), ("normal_", [[19], 1, 0.5]),
             ("exponential_", [[6], 1.5]), ("bernoulli_", [[8], 0.25]), ("random_", [[6], 0, 100]), ("multinomial", [[0.1, 0.2, 0.7], 6, True]), ("randint", [-5, 5, [3, 2]])]  # fmt: skip
    runs = []
    for seed in (0, 1, 42, 2**31 + 7):
        torch.manual_seed(seed)
        runs.append({"seed": seed, "steps": [draw(s, recorder, f"seed{seed}.{k}") for k, s in enumerate(steps)]})
    return runs


def main():
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    names = known()
    rows = {*ops_elementwise.UNARY, *ops_elementwise.BINARY, "clamp", "lerp", "addcmul", "addcdiv"}
    recorder = Recorder(lambda op: op in names or (op.endswith("_") and op[:-1] in names & rows))
    ops_elementwise.record(recorder, names)
    ops_structured.record(recorder)
    ops_indexing.record(recorder)
    compact = lambda value: json.dumps(value, separators=(",", ":"))
    metadata = {"draws": compact(draws(recorder)), "calls": compact(recorder.calls), "promotions": compact(promotions()), "torch": "1.13.1",
                "recurrent": compact(ops_recurrent.record(recorder.tensors))}  # fmt: skip
    save(str(HERE / "ops.safetensors"), recorder.tensors, metadata)
    missing = sorted(names - {c["op"] for c in recorder.calls})
    print(len(recorder.calls), "calls,", len(recorder.tensors), "tensors; exported names without a call:", " ".join(missing))


main()
