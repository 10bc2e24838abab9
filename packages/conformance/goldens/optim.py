"""Trajectories of PyTorch's optimisers and its gradient clipping, for packages/optim/src/goldens/optim.json.

Run from the repository's root with Debian's python3-torch (1.13.1):
    /usr/bin/python3 packages/conformance/goldens/optim.py
The problem: two parameters w [2, 3] and b [3], ten steps on sum((x @ w + b - y)^2 * s) / 4 + sum(w^4) / 50, in which b
gets no gradient at step 4. Each entry holds both parameters after every step. `states` are the state_dict()s after step 5
of one setting of each kind: tensors as {"shape", "data"}.
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
    ("RMSprop", {}), ("RMSprop", {"lr": 0.05, "alpha": 0.9, "centered": True}), ("RMSprop", {"lr": 0.02, "momentum": 0.9}),
    ("RMSprop", {"lr": 0.02, "momentum": 0.5, "centered": True, "weight_decay": 0.1, "eps": 1e-3, "maximize": True}),
    ("Adagrad", {}), ("Adagrad", {"lr": 0.3, "lr_decay": 0.1, "weight_decay": 0.1}),
    ("Adagrad", {"lr": 0.3, "initial_accumulator_value": 0.5, "eps": 1e-2, "maximize": True}),
    ("Adadelta", {}), ("Adadelta", {"lr": 0.5, "rho": 0.5, "eps": 1e-3, "weight_decay": 0.2}),
    ("Adadelta", {"eps": 1e-2, "rho": 1.0, "lr": 0.05}), ("Adadelta", {"maximize": True}),
    ("Adamax", {}), ("Adamax", {"lr": 0.1, "betas": [0.5, 0.9], "eps": 1e-3, "weight_decay": 0.3}),
    ("Adamax", {"lr": 0.1, "maximize": True}),
    ("NAdam", {}), ("NAdam", {"lr": 0.1, "betas": [0.5, 0.9], "eps": 1e-3, "weight_decay": 0.3}),
    ("NAdam", {"lr": 0.1, "momentum_decay": 0.1}),
    ("RAdam", {}), ("RAdam", {"lr": 0.1, "betas": [0.5, 0.9], "eps": 1e-3, "weight_decay": 0.3}),
    ("RAdam", {"lr": 0.1, "betas": [0.9, 0.99]}),
    ("Rprop", {}), ("Rprop", {"lr": 0.2, "etas": [0.3, 1.5], "step_sizes": [0.01, 0.25]}), ("Rprop", {"lr": 0.05, "maximize": True}),
    ("ASGD", {}), ("ASGD", {"lr": 0.05, "lambd": 0.1, "alpha": 0.5, "t0": 2.0}),
    ("ASGD", {"lr": 0.005, "t0": 0.0, "weight_decay": 0.3, "maximize": True}),
    ("LBFGS", {"lr": 0.2, "max_iter": 5}), ("LBFGS", {"max_iter": 4}), ("LBFGS", {"lr": 0.5, "history_size": 3, "max_iter": 6}),
    ("LBFGS", {"max_iter": 3, "line_search_fn": "strong_wolfe"}),
    ("LBFGS", {"lr": 10.0, "max_iter": 5, "line_search_fn": "strong_wolfe", "history_size": 2}),
    ("LBFGS", {"max_iter": 2, "max_eval": 3, "line_search_fn": "strong_wolfe", "lr": 0.01}),
]  # fmt: skip


def camel(name):
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def plain(value):
    """A state_dict as JSON."""
    if isinstance(value, torch.Tensor):
        return {"shape": list(value.shape), "data": value.double().flatten().tolist()}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def run(kind, options, dtype, groups=False, states=None):
    w, b = (torch.tensor(v, dtype=dtype).requires_grad_() for v in (W, B))
    x, y, s = (torch.tensor(v, dtype=dtype) for v in (X, Y, S))
    optimizer = getattr(torch.optim, kind)([{"params": [w]}, {"params": [b], "lr": 0.2}] if groups else [w, b], **options)
    steps = []
    for i in range(10):
        def closure():
            optimizer.zero_grad()
            loss = ((x @ w + b - y) ** 2 * s).sum() / 4 + (w**4).sum() / 50
            loss.backward()
            if i == 4:
                b.grad = None
            return loss

        if kind == "LBFGS":
            optimizer.step(closure)
        else:
            closure()
            optimizer.step()
        steps.append([w.flatten().tolist(), b.tolist()])
        if i == 4 and states is not None:
            states.append({"kind": kind, "options": {camel(k): v for k, v in options.items()}, "dict": plain(optimizer.state_dict())})
    return steps


trajectories, states = [], []
last = dict(SETTINGS)
for kind, options in SETTINGS:
    for dtype in (torch.float64, torch.float32):
        # L-BFGS in float32: rounding grows by a digit a step, and on a search from a tiny first length all hangs on the last bit.
        rounded = kind == "LBFGS" and dtype == torch.float32
        if rounded and options.get("lr") == 0.01:
            continue
        saved = states if options is last[kind] and dtype == torch.float64 else None
        trajectories.append({"kind": kind, "options": {camel(k): v for k, v in options.items()}, "groups": False,
                             "dtype": str(dtype)[6:], "steps": run(kind, options, dtype, False, saved)[: 5 if rounded else 10]})  # fmt: skip
for kind in ("SGD", "Adam", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "Rprop", "ASGD"):
    options = {"lr": 0.05}
    trajectories.append({"kind": kind, "options": options, "groups": True, "dtype": "float64",
                         "steps": run(kind, options, torch.float64, True)})  # fmt: skip

clips = []
for norm_type in (2.0, 1.0, 3.0, 0.5, 0.0, -1.0, float("inf")):
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
    state_rows = ",\n".join(json.dumps(row) for row in states)
    file.write(f'{{\n"problem": {json.dumps(problem)},\n"trajectories": [\n{rows}\n],\n"clips": [\n{clip_rows}\n],\n"states": [\n{state_rows}\n]\n}}\n')
