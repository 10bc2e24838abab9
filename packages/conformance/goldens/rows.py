"""Trajectories of PyTorch's optimisers on sparse gradients, for packages/optim/src/goldens/rows.json.

Run from the repository's root with Debian's python3-torch (1.13.1):
    /usr/bin/python3 packages/conformance/goldens/rows.py
The problem: nn.Embedding(7, 3, padding_idx=2, sparse=True), five steps on sum((rows - y)^2 * s), each with other indices, in
which rows repeat, stay away and meet the padding. Each entry holds after every step the loss, the gradient in dense form and
the weight; `clip` is the max_norm of a clip_grad_norm_ on the coalesced gradient before each step, and `norms` the norms that it gave.
"""
import json
import os

import torch

OUT = os.path.join(os.path.dirname(__file__), "..", "..", "optim", "src", "goldens")
torch.set_num_threads(1)

torch.manual_seed(3)
WEIGHT = torch.randn(7, 3, dtype=torch.float64)
WEIGHT[2] = 0
INDICES = [[[0, 1, 1], [4, 2, 0]], [[1, 1, 1], [1, 1, 1]], [[6, 2, 2], [5, 0, 6]], [[3, 4, 4], [2, 1, 3]], [[0, 6, 1], [0, 0, 2]]]
Y = torch.randn(2, 3, 3, dtype=torch.float64)
S = torch.tensor([1.0, 0.25, 3.0], dtype=torch.float64)

SETTINGS = [
    ("SGD", {"lr": 0.1}, None), ("SGD", {"lr": 0.05, "maximize": True}, None), ("SGD", {"lr": 0.1}, 1.5),
    ("SparseAdam", {}, None), ("SparseAdam", {"lr": 0.2, "betas": [0.5, 0.9], "eps": 1e-3}, None),
    ("SparseAdam", {"lr": 0.1, "maximize": True}, None), ("SparseAdam", {"lr": 0.1}, 0.5),
    ("Adagrad", {}, None), ("Adagrad", {"lr": 0.3, "lr_decay": 0.1}, None),
    ("Adagrad", {"lr": 0.3, "initial_accumulator_value": 0.5, "eps": 1e-2, "maximize": True}, None),
]  # fmt: skip


def camel(name):
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def run(kind, options, clip, dtype):
    layer = torch.nn.Embedding(7, 3, padding_idx=2, sparse=True, _weight=WEIGHT.clone().to(dtype))
    optimizer = getattr(torch.optim, kind)(layer.parameters(), **options)
    y, s = Y.to(dtype), S.to(dtype)
    steps, norms = [], []
    for index in INDICES:
        optimizer.zero_grad(set_to_none=True)
        loss = ((layer(torch.tensor(index)) - y) ** 2 * s).sum()
        loss.backward()
        if clip is not None:
            layer.weight.grad = layer.weight.grad.coalesce()
            norm = torch.nn.utils.clip_grad_norm_(layer.parameters(), clip)
            norms.append(norm.item())
            # PyTorch 1.13.1 scales a detached copy of a sparse gradient, whose values are then others: the gradient stays as
            # it was. Scaled here by the formula of clip_grad.py.
            layer.weight.grad.mul_(torch.clamp(clip / (norm + 1e-6), max=1.0))
        grad = layer.weight.grad.to_dense().flatten().tolist()
        optimizer.step()
        steps.append({"loss": loss.item(), "grad": grad, "weight": layer.weight.detach().flatten().tolist()})
    return {"kind": kind, "options": {camel(k): v for k, v in options.items()}, "clip": clip, "dtype": str(dtype)[6:],
            "norms": norms, "steps": steps}  # fmt: skip


rows = [run(*setting, dtype) for setting in SETTINGS for dtype in (torch.float64, torch.float32)]
problem = {"weight": WEIGHT.tolist(), "indices": INDICES, "y": Y.tolist(), "s": S.tolist()}
with open(os.path.join(OUT, "rows.json"), "w") as file:
    text = ",\n".join(json.dumps(row) for row in rows)
    file.write(f'{{\n"problem": {json.dumps(problem)},\n"trajectories": [\n{text}\n]\n}}\n')
