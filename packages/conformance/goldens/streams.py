"""Random streams of PyTorch's CPU generator, for packages/core/src/random/goldens/*.json.

Run from the repository's root with Debian's python3-torch (1.13.1, x86-64 with AVX2):
    /usr/bin/python3 packages/conformance/goldens/streams.py
The output depends on nothing but PyTorch: running it again changes no byte. Each stream is one generator, seeded once,
and a list of draws in order. A draw's bytes come as base64 (little-endian), or as SHA-256 where there are too many.
elementary.json holds the C library's logarithm, sine and cosine, and a * b + c rounded once (by exact fractions).
"""
import base64
import fractions
import hashlib
import json
import math
import os
import random
import struct
import warnings

import torch

OUT = os.path.join(os.path.dirname(__file__), "..", "..", "core", "src", "random", "goldens")
DTYPES = {name: getattr(torch, name) for name in
          ("float32", "float64", "float16", "bfloat16", "int32", "int64", "uint8", "bool")}
LONG = 1024  # bytes; above, only the hash is kept


def tensor_bytes(t):
    t = t.detach().contiguous()
    if t.dtype in (torch.float16, torch.bfloat16):
        t = t.view(torch.int16)
    return t.numpy().tobytes()


def empty(step, g):
    n, dtype = step["n"], DTYPES[step.get("dtype", "float32")]
    return torch.empty(n, dtype=dtype) if step.get("contiguous", True) else torch.empty(2 * n, dtype=dtype)[::2]


def weights(values, dtype):
    return torch.tensor(values, dtype=DTYPES[dtype])


def number_or_tensor(value, dtype):
    return weights(value, dtype) if isinstance(value, list) else float(value)


def normal_each(step, g):
    dtype = step.get("dtype", "float32")
    return torch.normal(number_or_tensor(step["mean"], dtype), number_or_tensor(step["std"], dtype), generator=g)


def dropout(step, g):
    # torch.dropout has no generator argument: lend the default generator this stream's state.
    torch.set_rng_state(g.get_state())
    ones = torch.ones(step["n"], dtype=DTYPES[step.get("dtype", "float32")])
    out = torch.dropout(ones, step["p"], True)
    g.set_state(torch.get_rng_state())
    return out


DRAWS = {
    "rand": lambda s, g: torch.rand(s["n"], dtype=DTYPES[s.get("dtype", "float32")], generator=g)
    if not s.get("dtype", "").endswith("16") else empty(s, g).uniform_(0, 1, generator=g),
    "uniform": lambda s, g: empty(s, g).uniform_(s["from"], s["to"], generator=g),
    "normal": lambda s, g: empty(s, g).normal_(s.get("mean", 0), s.get("std", 1), generator=g),
    "normalEach": normal_each,
    "randint": lambda s, g: torch.randint(int(s.get("low", 0)), int(s["high"]), (s["n"],),
                                          dtype=DTYPES[s.get("dtype", "int32")], generator=g),
    "randomWhole": lambda s, g: empty(s, g).random_(generator=g),
    "randperm": lambda s, g: torch.randperm(s["n"], dtype=torch.int32, generator=g),
    "bernoulli": lambda s, g: empty(s, g).bernoulli_(s["p"], generator=g),
    "bernoulliTensor": lambda s, g: torch.bernoulli(weights(s["probs"], s["dtype"]), generator=g).to(torch.uint8),
    "dropoutMask": dropout,
    "exponential": lambda s, g: empty(s, g).exponential_(s.get("lambda", 1), generator=g),
    "logNormal": lambda s, g: empty(s, g).log_normal_(s["mean"], s["std"], generator=g),
    "cauchy": lambda s, g: empty(s, g).cauchy_(s["median"], s["sigma"], generator=g),
    "geometric": lambda s, g: empty(s, g).geometric_(s["p"], generator=g),
    "multinomial": lambda s, g: torch.multinomial(
        weights(s["weights"], s["dtype"]).reshape(s.get("rows", 1), -1), s["samples"],
        s.get("replacement", False), generator=g).to(torch.int32),
    "state": lambda s, g: g.get_state(),
}


def stream(name, seed, steps):
    g = torch.Generator().manual_seed(seed)
    for step in steps:
        data = tensor_bytes(DRAWS[step["op"]](step, g))
        if len(data) > LONG or step["op"] == "state":
            step["sha256"] = hashlib.sha256(data).hexdigest()
        else:
            step["base64"] = base64.b64encode(data).decode()
    return {"name": name, "seed": str(seed), "steps": steps}


def step(op, n=None, **more):
    return {"op": op, **({} if n is None else {"n": n}), **more}


def mixed():
    return [step("rand", 5), step("normal", 3), step("randperm", 11), step("normal", 20), step("normal", 5),
            step("state"), step("randint", 7, high=10), step("rand", 3, dtype="float64"), step("normal", 1),
            step("normal", 40, dtype="float64"), step("normal", 2, dtype="float64"), step("bernoulli", 9, p=0.3, dtype="bool"),
            step("rand", 0), step("normal", 0), step("randperm", 0), step("randperm", 1), step("rand", 2),
            step("normal", 17, contiguous=False), step("normal", 17), step("state")]


def normals():
    sizes = [1, 2, 3, 8, 15, 16, 17, 31, 32, 33, 37, 100]
    steps = [step("normal", n, dtype=dtype) for dtype in ("float32", "float64") for n in sizes]
    for dtype in ("float32", "float64"):
        for n in (5, 40):
            steps += [step("normal", n, dtype=dtype, mean=1.3, std=0.02), step("normal", n, dtype=dtype, mean=-3e4, std=7),
                      step("normal", n, dtype=dtype, mean=0.1, std=0)]
            mean, std = [0.1 * i - 1 for i in range(n)], [0.03 * i for i in range(n)]
            steps += [step("normalEach", n, dtype=dtype, mean=mean, std=std),
                      step("normalEach", n, dtype=dtype, mean=mean, std=0.7),
                      step("normalEach", n, dtype=dtype, mean=0.3, std=std)]
    return steps + [step("normal", 1000003), step("normal", 70000, mean=0.5, std=0.1),
                    step("normal", 50001, contiguous=False), step("state")]


def wholes():
    steps = [step("randint", 6, low=low, high=high, dtype=dtype) for low, high, dtype in (
        (0, 2, "bool"), (0, 256, "uint8"), (3, 200, "uint8"), (-5, 6, "int32"), (-2**31, 2**31, "int32"),
        (0, 10, "int64"), (-2**40, -2**40 + 9, "int64"), (0, 2**32 - 1, "int64"), (0, 10, "float32"), (-9, 2**24, "float32"),
        (-7, 9, "float64"), (0, 3000000000, "int64"), (0, 100, "float16"), (0, 100, "bfloat16"))]
    # Written as text: JSON numbers lose bits beyond 2^53.
    steps += [step("randint", 6, low=str(low), high=str(high), dtype=dtype) for low, high, dtype in (
        (0, 2**32, "int64"), (0, 2**53, "float64"), (-3, 2**40, "int64"), (0, 2**63 - 1, "int64"),
        (-2**63, 2**63 - 1, "int64"), (2**60, 2**60 + 5, "int64"))]
    steps += [step("randomWhole", 6, dtype=dtype) for dtype in DTYPES]
    steps += [step("randperm", n) for n in (2, 3, 100, 5000, 100000)]
    return steps + [step("randint", 100000, high=1000), step("state")]


def uniforms():
    steps = []
    for dtype in ("float32", "float64"):
        steps += [step("rand", 50, dtype=dtype), step("uniform", 50, dtype=dtype, **{"from": -0.1, "to": 0.1}),
                  step("uniform", 50, dtype=dtype, **{"from": 1 / 3, "to": 0.7}),
                  step("uniform", 20000, dtype=dtype, **{"from": -1e3, "to": 1e-3}),
                  step("uniform", 5, dtype=dtype, **{"from": 2, "to": 2}), step("rand", 100000, dtype=dtype)]
    for dtype in ("float16", "bfloat16"):
        steps += [step("rand", 40, dtype=dtype), step("uniform", 40, dtype=dtype, **{"from": -0.3, "to": 0.7}),
                  step("normal", 9, dtype=dtype), step("normal", 45, dtype=dtype),
                  step("normal", 1600, dtype=dtype, mean=0.5, std=3)]
    return steps


def coins():
    probs = [i / 40 for i in range(41)]
    steps = [step("bernoulli", 60, p=p, dtype=dtype) for p in (0, 0.1, 0.5, 1) for dtype in ("bool", "float32", "int64")]
    steps += [step("bernoulliTensor", dtype=dtype, probs=probs) for dtype in ("float32", "float64")]
    steps += [step("dropoutMask", 60, p=p, dtype=dtype) for p in (0, 0.1, 0.3, 0.5, 1) for dtype in ("float32", "float64")]
    return steps + [step("bernoulli", 100000, p=0.37, dtype="uint8"), step("state")]


def rare():
    steps = []
    for dtype in ("float32", "float64"):
        steps += [step("exponential", 40, dtype=dtype), step("exponential", 20, dtype=dtype, **{"lambda": 1.7}),
                  step("logNormal", 21, dtype=dtype, mean=0.1, std=0.4), step("normal", 1),
                  step("cauchy", 20, dtype=dtype, median=0.5, sigma=2), step("geometric", 40, dtype=dtype, p=0.2)]
        w = [0.1 * ((7 * i) % 11) for i in range(30)]
        steps += [step("multinomial", dtype=dtype, weights=w, samples=25, replacement=True),
                  step("multinomial", dtype=dtype, weights=w, samples=25, rows=3, replacement=True),
                  step("multinomial", dtype=dtype, weights=w, samples=9, rows=3),
                  step("multinomial", dtype=dtype, weights=w, samples=1, rows=2),
                  step("multinomial", dtype=dtype, weights=w, samples=27)]
    return steps + [step("state")]


def states():
    found = []
    for name, seed, draws in (("fresh", 5, []), ("one rand", 1, [step("rand", 1)]), ("spare normal", -7, [step("normal", 3)]),
                              ("renewed", 2**40 + 3, [step("rand", 700), step("normal", 1)])):
        g = torch.Generator().manual_seed(seed)
        for draw in draws:
            DRAWS[draw["op"]](draw, g)
        state = base64.b64encode(tensor_bytes(g.get_state())).decode()
        then = [base64.b64encode(tensor_bytes(torch.randn(n, generator=g))).decode() for n in (2, 20, 3)]
        found.append({"name": name, "seed": str(seed), "draws": draws, "state": state, "randn": then})
    return found


def doubles(values):
    return base64.b64encode(struct.pack(f"<{len(values)}d", *values)).decode()


def fused(a, b, c):
    return float(fractions.Fraction(a) * fractions.Fraction(b) + fractions.Fraction(c))


def elementary():
    r = random.Random(1)
    x = [1.0, 2.0**-53, 1 - 2.0**-53, 0.5, math.sqrt(0.5), 2.0**-30]
    x += [1 - r.random() for _ in range(400)] + [1 - r.random() / 256 for _ in range(200)]
    t = [0.0, 2.0**-52, math.pi / 2, math.pi, 1.5 * math.pi, 2 * math.pi] + [2 * math.pi * r.random() for _ in range(400)]
    abc = [(0.1, 10.0, -1.0), (1 + 2.0**-52, 1 + 2.0**-52, -1.0), (1 + 2.0**-30, 1 + 2.0**-30, 2.0**-53),
           (1 + 2.0**-27, 1 + 2.0**-27, 2.0**60), (3.0, 1 / 3, -1.0), (0.5, 2.0**-52, 1.0), (0.5, -2.0**-52, 1 + 2.0**-52),
           (1 - 2.0**-53, 2.0**-53, 1.0), (-(1 + 2.0**-52), 2.0**-53, -1.0)]
    # The product ends a hair beside half a unit of the addend: two roundings go the wrong way.
    tiny = 2.0**-52
    abc += [(sign * (1 + k * tiny), (1 - k * tiny) * 2.0**-53, turn * (1 + m * tiny))
            for k in (1, 2, 5) for m in range(4) for sign in (1, -1) for turn in (1, -1)]
    # Large and small addends, and ones that cancel nearly all of the product.
    for _ in range(300):
        a, b = r.uniform(-3, 3), r.uniform(-3, 3)
        abc += [(a, b, r.uniform(-1, 1) * 2.0 ** r.randint(-60, 60)), (a, b, -a * b), (a, b, -a * b * (1 + 2.0**-50))]
    return {"x": doubles(x), "log": doubles([math.log(v) for v in x]), "t": doubles(t),
            "sin": doubles([math.sin(v) for v in t]), "cos": doubles([math.cos(v) for v in t]),
            "abc": doubles([v for case in abc for v in case]), "fma": doubles([fused(*case) for case in abc])}


def write(name, value):
    with open(os.path.join(OUT, name), "w") as file:
        file.write(json.dumps(value, indent=1) + "\n")


def main():
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    seeds = [0, 1, 42, 2**32 - 1, 2**32 + 5, -1, -2**63, 2**64 - 1]
    streams = [stream(f"mixed draws, seed {seed}", seed, mixed()) for seed in seeds]
    streams += [stream("normals", 3, normals()), stream("whole numbers", 4, wholes()), stream("uniforms", 5, uniforms()),
                stream("coins", 6, coins()), stream("rarer draws", 7, rare())]
    write("streams.json", streams)
    write("states.json", states())
    write("elementary.json", elementary())
    print(torch.__version__, sum(len(s["steps"]) for s in streams), "draws")


main()
