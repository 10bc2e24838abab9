"""Sequences of PyTorch's learning-rate schedulers, for packages/optim/src/goldens/schedulers.json.

Run from the repository's root with Debian's python3-torch (1.13.1):
    /usr/bin/python3 packages/conformance/goldens/schedulers.py
Each entry: a scheduler over two groups (lr 0.5 and 0.02), the rates after it was made and after each step, momentum (or
beta1) likewise where it is cycled, and the state_dict() at the end. `epochs` are what step() was given, null for nothing.
"""
import json
import math
import os
import warnings

import torch
from torch.optim import lr_scheduler

OUT = os.path.join(os.path.dirname(__file__), "..", "..", "optim", "src", "goldens")
warnings.simplefilter("ignore")

LAMBDAS = {"power": lambda epoch: 0.95**epoch, "tenth": lambda epoch: 1 / (1 + epoch / 10), "constant": lambda epoch: 0.9}
N = 60


def one(kind, **options):
    return {"kind": kind, "options": options}


WARM = one("LinearLR", start_factor=0.1, total_iters=8)
ROWS = [
    (one("StepLR", step_size=7), N), (one("StepLR", step_size=3, gamma=0.5), N),
    (one("MultiStepLR", milestones=[5, 20, 21, 40]), N), (one("MultiStepLR", milestones=[30, 8, 8], gamma=0.3), N),
    (one("ConstantLR"), 20), (one("ConstantLR", factor=0.5, total_iters=10), N), (one("ConstantLR", factor=0.3, total_iters=0), 5),
    (one("LinearLR"), 20), (one("LinearLR", start_factor=0.01, end_factor=0.5, total_iters=30), N),
    (one("LinearLR", start_factor=1.0, end_factor=0.0, total_iters=10), 20),
    (one("ExponentialLR", gamma=0.93), N), (one("PolynomialLR"), 12), (one("PolynomialLR", total_iters=50, power=2.5), N),
    (one("CosineAnnealingLR", T_max=20), N), (one("CosineAnnealingLR", T_max=13, eta_min=0.001), 100),
    (one("CosineAnnealingWarmRestarts", T_0=10), N), (one("CosineAnnealingWarmRestarts", T_0=5, T_mult=2, eta_min=0.01), 100),
    (one("LambdaLR", lr_lambda="power"), N), (one("LambdaLR", lr_lambda=["power", "tenth"]), N),
    (one("MultiplicativeLR", lr_lambda="constant"), N), (one("MultiplicativeLR", lr_lambda=["tenth", "power"]), 30),
    (one("OneCycleLR", max_lr=1.0, total_steps=60), N), (one("OneCycleLR", max_lr=[1.0, 0.2], epochs=6, steps_per_epoch=10, anneal_strategy="linear"), N),
    (one("OneCycleLR", max_lr=0.3, total_steps=50, pct_start=0.4, three_phase=True, div_factor=10.0, final_div_factor=100.0), 50),
    (one("OneCycleLR", max_lr=0.3, total_steps=60, base_momentum=[0.7, 0.8], max_momentum=0.99), N),
    (one("OneCycleLR", max_lr=0.3, total_steps=60, cycle_momentum=False), N),
    (one("CyclicLR", base_lr=0.01, max_lr=0.5, step_size_up=10), N),
    (one("CyclicLR", base_lr=[0.01, 0.002], max_lr=[0.5, 0.1], step_size_up=7, step_size_down=13, mode="triangular2"), 100),
    (one("CyclicLR", base_lr=0.01, max_lr=0.5, step_size_up=10, mode="exp_range", gamma=0.97, base_momentum=0.6, max_momentum=[0.9, 0.95]), N),
    (one("CyclicLR", base_lr=0.01, max_lr=0.5, step_size_up=10, cycle_momentum=False), N),
    (one("CyclicLR", base_lr=0.01, max_lr=0.5, step_size_up=10, scale_fn="tenth", scale_mode="iterations"), N),
    (one("CyclicLR", base_lr=0.01, max_lr=0.5, step_size_up=10, scale_fn="tenth"), N),
    ({"kind": "SequentialLR", "parts": [WARM, one("CosineAnnealingLR", T_max=40)], "milestones": [8]}, N),
    ({"kind": "SequentialLR", "parts": [one("ConstantLR", factor=0.1, total_iters=2), one("ExponentialLR", gamma=0.9), one("StepLR", step_size=5)], "milestones": [5, 30]}, N),
    ({"kind": "SequentialLR", "parts": [WARM, one("LambdaLR", lr_lambda="tenth"), one("CosineAnnealingWarmRestarts", T_0=6)], "milestones": [10, 20]}, N),
    ({"kind": "SequentialLR", "parts": [one("PolynomialLR", total_iters=9), one("MultiStepLR", milestones=[4, 9])], "milestones": [12]}, 40),
    ({"kind": "ChainedScheduler", "parts": [one("ConstantLR", factor=0.1, total_iters=3), one("ExponentialLR", gamma=0.9)]}, N),
    ({"kind": "ChainedScheduler", "parts": [WARM, one("StepLR", step_size=9, gamma=0.7), one("CosineAnnealingLR", T_max=30, eta_min=1e-4)]}, N),
    (one("ReduceLROnPlateau"), N), (one("ReduceLROnPlateau", factor=0.5, patience=2, cooldown=3, min_lr=[0.05, 0.001]), N),
    (one("ReduceLROnPlateau", mode="max", patience=3, threshold=0.05, threshold_mode="abs"), N),
    (one("ReduceLROnPlateau", mode="max", patience=1, threshold=0.01, factor=0.3), N),
    (one("ReduceLROnPlateau", threshold=0.5, threshold_mode="abs", patience=0, eps=1e-3), N),
]  # fmt: skip
ADAM = [
    (one("OneCycleLR", max_lr=0.3, total_steps=40), 40),
    (one("CyclicLR", base_lr=0.01, max_lr=0.5, step_size_up=10, cycle_momentum=False), 30),
    (one("ExponentialLR", gamma=0.93), 20),
]
# step(epoch): the closed forms.
NAMED = [
    one("StepLR", step_size=7), one("MultiStepLR", milestones=[5, 20, 21]), one("ConstantLR", factor=0.5, total_iters=10),
    one("LinearLR", start_factor=0.01, end_factor=0.5, total_iters=30), one("ExponentialLR", gamma=0.93),
    one("PolynomialLR", total_iters=50, power=2.5), one("CosineAnnealingLR", T_max=20, eta_min=0.001), one("LambdaLR", lr_lambda="tenth"),
    one("CosineAnnealingWarmRestarts", T_0=5, T_mult=2), one("CosineAnnealingWarmRestarts", T_0=4),
]  # fmt: skip
EPOCHS = [None, 3, None, None, 0, 20, None, 7, 31, None, None]
FRACTIONS = [i / 4 for i in range(60)]


def camel(name):
    head, *rest = name.split("_")
    return head[0].lower() + head[1:] + "".join(word[0].upper() + word[1:] for word in rest)


def make(row, optimizer):
    kind = getattr(lr_scheduler, row["kind"])
    if row["kind"] == "SequentialLR":
        return kind(optimizer, [make(part, optimizer) for part in row["parts"]], row["milestones"])
    if row["kind"] == "ChainedScheduler":
        return kind([make(part, optimizer) for part in row["parts"]])
    options = dict(row["options"])
    for name in ("lr_lambda", "scale_fn"):
        if name in options:
            found = options[name]
            options[name] = [LAMBDAS[f] for f in found] if isinstance(found, list) else LAMBDAS[found]
    return kind(optimizer, **options)


def spelled(row):
    if "parts" in row:
        return {**row, "parts": [spelled(part) for part in row["parts"]]}
    return {"kind": row["kind"], "options": {camel(k): v for k, v in row["options"].items()}}


def plain(value):
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value if isinstance(value, (int, float, str, bool, type(None))) else None


def run(row, steps, adam=False, epochs=None):
    params = [torch.zeros(1, requires_grad=True) for _ in range(2)]
    groups = [{"params": [params[0]]}, {"params": [params[1]], "lr": 0.02}]
    optimizer = torch.optim.Adam(groups, lr=0.5) if adam else torch.optim.SGD(groups, lr=0.5, momentum=0.9)
    scheduler = make(row, optimizer)
    metrics = [2 + math.cos(i / 3) * math.exp(-i / 20) + (0.3 if i > 30 else 0) for i in range(steps)]
    rates, moments = [], []

    def note():
        rates.append([g["lr"] for g in optimizer.param_groups])
        moments.append([g["betas"][0] if adam else g["momentum"] for g in optimizer.param_groups])

    note()
    for i in range(steps if epochs is None else len(epochs)):
        optimizer.step()
        if row["kind"] == "ReduceLROnPlateau":
            scheduler.step(metrics[i])
        elif epochs is None or epochs[i] is None:
            scheduler.step()
        else:
            scheduler.step(epochs[i])
        note()
    cycled = any(moment != moments[0] for moment in moments)
    entry = {"scheduler": spelled(row), "adam": adam, "rates": rates, "state": plain(scheduler.state_dict())}
    if cycled:
        entry["momenta"] = moments
    if row["kind"] == "ReduceLROnPlateau":
        entry["metrics"] = metrics
    if epochs is not None:
        entry["epochs"] = epochs
    return entry


entries = [run(row, steps) for row, steps in ROWS] + [run(row, steps, True) for row, steps in ADAM]
entries += [run(row, 0, False, EPOCHS) for row in NAMED]
entries += [run(one("CosineAnnealingWarmRestarts", T_0=3, T_mult=2), 0, False, FRACTIONS)]
with open(os.path.join(OUT, "schedulers.json"), "w") as file:
    file.write("[\n" + ",\n".join(json.dumps(entry, allow_nan=False) for entry in entries) + "\n]\n")
