"""Trajectories of PyTorch's optimisers and its gradient clipping, for packages/optim/src/goldens/optim.json.

Run from the repository's root with Debian's python3-torch (1.13.1):
    /usr/bin/python3 packages/conformance/goldens/optim.py
The problem: two parameters w [2, 3] and b [3], ten steps on sum((x @ w + b - y)^2 * s) / 4 + sum(w^4) / 50, in which b
gets no gradient at step 4. Each entry holds both parameters after every step.
"""
import json
import os

import torch

OUT = os.path.join(os.path.dirname(__file__), "..", "..", "optim", "src", "goldens")
torch.set_num_threads(1)

X = [[0.5, -1.0], [1.5, 2.0], [-0.75, 0.25], [3.0, -2.5]]
Y = [[1.0, 0.0, -1.0], [0.5, 2.0, 1.0], [-1.0, 1.5, 0.0], [2.0, -2.0, 0.25]]
S = [1.0, 0.1, 3.0]
W = [[0.3, -0.2, 0.9], [1.1, 0.4, -0.6]]
B = [0.1, -0.3, 0.0]

SETTINGS = [
    ("SGD", {"lr": 0.05}), ("SGD", {"lr": 0.05, "momentum": 0.9}), ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3}),
    ("SGD", {"lr": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1}), ("SGD", {"lr": 0.01, "maximize": True}),
    ("SGD", {"lr": 0.02, "weight_decay": 0.2}), ("SGD", {"lr": 0.01, "momentum": 0.5, "maximize": True, "weight_decay": 0.1}),
    ("Adam", {}), ("Adam", {"lr": 0.1}), ("Adam", {"lr": 0.1, "betas": [0.5, 0.9], "eps": 1e-3}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.3}), ("Adam", {"lr": 0.3, "amsgrad": True}),
    ("Adam", {"lr": 0.1, "maximize": True, "weight_decay": 0.1, "amsgrad": True}),
    ("AdamW", {"lr": 0.1}), ("AdamW", {"lr": 0.1, "weight_decay": 0.5, "amsgrad": True}), ("AdamW", {"lr": 0.05, "weight_decay": 0}),
    ("AdamW", {"lr": 0.1, "maximize": True}),
]  # fmt: skip


def camel(name):
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def run(kind, options, dtype, groups=False):
    w, b = (torch.tensor(v, dtype=dtype).requires_grad_() for v in (W, B))
    x, y, s = (torch.tensor(v, dtype=dtype) for v in (X, Y, S))
    optimizer = getattr(torch.optim, kind)([{"params": [w]}, {"params": [b], "lr": 0.2}] if groups else [w, b], **options)
    steps = []
    for i in range(10):
        optimizer.zero_grad()
        (((x @ w + b - y) ** 2 * s).sum() / 4 + (w**4).sum() / 50).backward()
        if i == 4:
            b.grad = None
        optimizer.step()
        steps.append([w.flatten().tolist(), b.tolist()])
    return steps


trajectories = []
for kind, options in SETTINGS:
    for dtype in (torch.float64, torch.float32):
        trajectories.append({"kind": kind, "options": {camel(k): v for k, v in options.items()}, "groups": False,
                             "dtype": str(dtype)[6:], "steps": run(kind, options, dtype)})  # fmt: skip
for kind in ("SGD", "Adam"):
    options = {"lr": 0.05}
    trajectories.append({"kind": kind, "options": options, "groups": True, "dtype": "float64",
                         "steps": run(kind, options, torch.float64, True)})  # fmt: skip

clips = []
for norm_type in (2.0, 1.0, 3.0, 0.5, float("inf")):
    for max_norm in (0.5, 100.0, 0.0):
        params = [torch.zeros(2, 3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64), torch.zeros(1)]
        params[0].grad, params[1].grad = torch.tensor(W, dtype=torch.float64), torch.tensor(B, dtype=torch.float64)
        total = torch.nn.utils.clip_grad_norm_(params, max_norm, norm_type)
        clips.append({"normType": "Infinity" if norm_type == float("inf") else norm_type, "maxNorm": max_norm,
                      "total": total.item(), "grads": [params[0].grad.flatten().tolist(), params[1].grad.tolist()]})  # fmt: skip

problem = {"x": X, "y": Y, "s": S, "w": W, "b": B}
with open(os.path.join(OUT, "optim.json"), "w") as file:
    rows = ",\n".join(json.dumps(row) for row in trajectories)
    clip_rows = ",\n".join(json.dumps(row) for row in clips)
    file.write(f'{{\n"problem": {json.dumps(problem)},\n"trajectories": [\n{rows}\n],\n"clips": [\n{clip_rows}\n]\n}}\n')
