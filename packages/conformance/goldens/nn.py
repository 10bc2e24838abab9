"""PyTorch's layers, losses and initialisers, for packages/nn/src/goldens/nn.safetensors and cases.json.

Run from the repository's root with Debian's python3-torch (1.13.1):
    /usr/bin/python3 packages/conformance/goldens/nn.py
cases.json lists the calls with their options in our spelling; the file beside it holds their tensors as <case>/<name>.
"""
import json
import os
import warnings

import torch
from safetensors_io import save
from torch import nn
from torch.nn import functional as F

OUT = os.path.join(os.path.dirname(__file__), "..", "..", "nn", "src", "goldens")
tensors = {}
warnings.filterwarnings("ignore")
torch.set_num_threads(1)


def put(case, **values):
    for name, value in values.items():
        array = value.detach().numpy()
        tensors[f"{case}/{name}"] = array.astype("int32") if array.dtype == "int64" else array


def camel(options):
    def one(name):
        head, *rest = name.split("_")
        return head + "".join(word.capitalize() for word in rest)

    return {one(name): value for name, value in options.items()}


# ---- default initialisation: seed, then the layer, then one more draw to see that the stream is where it should be

init = []
INIT = [
    ("Linear", (5, 3), {}), ("Linear", (7, 16), {"bias": False}), ("Linear", (4, 33), {"dtype": "float64"}),
    ("RNN", (5, 2), {}), ("RNN", (3, 4), {"num_layers": 2, "bidirectional": True}), ("RNN", (3, 17), {"bias": False}),
    ("RNN", (2, 5), {"num_layers": 3, "nonlinearity": "relu", "dtype": "float64"}),
    ("RNNCell", (3, 5), {}), ("RNNCell", (3, 5), {"bias": False, "nonlinearity": "relu"}),
    ("LSTM", (3, 4), {"num_layers": 2}), ("GRU", (3, 4), {"bidirectional": True}), ("LSTMCell", (2, 3), {}), ("GRUCell", (2, 3), {}),
]  # fmt: skip
for number, (kind, sizes, options) in enumerate(INIT):
    torch.manual_seed(number + 1)
    torch_options = {k: getattr(torch, v) if k == "dtype" else v for k, v in options.items()}
    layer = getattr(nn, kind)(*sizes, **torch_options)
    case = f"init{number}"
    put(case, **layer.state_dict(), next=torch.rand(3))
    init.append({"case": case, "kind": kind, "sizes": sizes, "options": camel(options), "seed": number + 1,
                 "keys": list(layer.state_dict()), "repr": repr(layer)})  # fmt: skip

initialisers = []
INITIALISERS = [
    ("uniform_", "uniform_", [-2.0, 3.0], {}), ("normal_", "normal_", [0.5, 2.0], {}), ("constant_", "constant_", [0.3], {}),
    ("ones_", "ones_", [], {}), ("zeros_", "zeros_", [], {}), ("eye_", "eye_", [], {}),
    ("xavierUniform_", "xavier_uniform_", [], {"gain": 5 / 3}), ("xavierNormal_", "xavier_normal_", [], {}),
    ("kaimingUniform_", "kaiming_uniform_", [], {"a": 0.2, "mode": "fan_out"}),
    ("kaimingUniform_", "kaiming_uniform_", [], {"nonlinearity": "relu"}),
    ("kaimingNormal_", "kaiming_normal_", [], {"mode": "fan_in", "nonlinearity": "relu"}),
]  # fmt: skip
for number, (name, torch_name, args, options) in enumerate(INITIALISERS):
    torch.manual_seed(40 + number)
    case = f"initialiser{number}"
    put(case, out=getattr(nn.init, torch_name)(torch.empty(5, 4), *args, **options))
    ours = {k: {"fan_in": "fanIn", "fan_out": "fanOut"}.get(v, v) for k, v in options.items()}
    initialisers.append({"case": case, "name": name, "args": args, "options": ours, "seed": 40 + number})

# ---- recurrent layers: outputs, last states and every gradient

recurrent = []


def run_layer(kind, options, training=True, given=False, unbatched=False, dtype=torch.float64, seed=0):
    case = f"layer{len(recurrent)}"
    torch.manual_seed(seed)
    layer = getattr(nn, kind)(3, 4, dtype=dtype, **options).train(training)
    time, batch = 5, 2
    rows = layer.num_layers * (2 if layer.bidirectional else 1)
    shape = (time, 3) if unbatched else (batch, time, 3) if layer.batch_first else (time, batch, 3)
    x = torch.randn(shape, dtype=dtype).requires_grad_()
    states = []
    if given:
        for _ in range(2 if kind == "LSTM" else 1):
            states.append(torch.randn((rows, 4) if unbatched else (rows, batch, 4), dtype=dtype).requires_grad_())
    torch.manual_seed(seed + 100)
    result = layer(x, (tuple(states) if kind == "LSTM" else states[0]) if given else None)
    output, finals = result[0], result[1] if kind == "LSTM" else (result[1],)
    weight = torch.linspace(-1, 1, output.numel(), dtype=dtype).reshape(output.shape)
    loss = (output * weight).sum() + sum((s * s).sum() * (i + 1) for i, s in enumerate(finals))
    loss.backward()
    put(case, x=x, dx=x.grad, output=output)
    for i, s in enumerate(states):
        put(case, **{f"start{i}": s, f"dstart{i}": s.grad})
    for i, s in enumerate(finals):
        put(case, **{f"final{i}": s})
    put(case, **{name: p for name, p in layer.named_parameters()})
    put(case, **{f"d{name}": p.grad for name, p in layer.named_parameters()})
    recurrent.append({"case": case, "kind": kind, "options": camel(options), "training": training, "given": given,
                      "dtype": str(dtype)[6:], "seed": seed + 100})  # fmt: skip


for layers in (1, 2, 3):
    run_layer("RNN", {"num_layers": layers}, seed=layers)
    run_layer("RNN", {"num_layers": layers, "bidirectional": True, "nonlinearity": "relu"}, given=True, seed=layers)
run_layer("RNN", {"bias": False, "batch_first": True})
run_layer("RNN", {"bias": False, "bidirectional": True}, given=True)
run_layer("RNN", {"batch_first": True, "num_layers": 2}, given=True)
run_layer("RNN", {}, unbatched=True)
run_layer("RNN", {"num_layers": 2, "bidirectional": True, "batch_first": True}, unbatched=True, given=True)
run_layer("RNN", {"num_layers": 3, "dropout": 0.5})
run_layer("RNN", {"num_layers": 3, "dropout": 0.5, "batch_first": True, "bidirectional": True}, given=True)
run_layer("RNN", {"num_layers": 2, "dropout": 0.5}, training=False)
run_layer("RNN", {"num_layers": 2, "dropout": 1.0})
run_layer("RNN", {"num_layers": 2, "batch_first": True, "dropout": 0.3}, dtype=torch.float32)
for kind in ("LSTM", "GRU"):
    run_layer(kind, {})
    run_layer(kind, {"num_layers": 2, "bidirectional": True, "batch_first": True, "dropout": 0.5}, given=True)
    run_layer(kind, {"num_layers": 2, "bias": False}, unbatched=True, given=True)
    run_layer(kind, {"num_layers": 2}, dtype=torch.float32)

cells = []
for kind in ("RNNCell", "LSTMCell", "GRUCell"):
    for options in ({}, {"bias": False}, *([{"nonlinearity": "relu"}] if kind == "RNNCell" else [])):
        for shape, given in (((2,), True), ((2,), False), ((), True)):
            case = f"cell{len(cells)}"
            torch.manual_seed(len(cells))
            cell = getattr(nn, kind)(3, 4, dtype=torch.float64, **options)
            x = torch.randn(*shape, 3, dtype=torch.float64)
            states = [torch.randn(*shape, 4, dtype=torch.float64) for _ in range(2 if kind == "LSTMCell" else 1)]
            result = cell(x, (tuple(states) if len(states) == 2 else states[0]) if given else None)
            outs = result if isinstance(result, tuple) else (result,)
            sum((o * o).sum() for o in outs).backward()
            put(case, x=x, **{f"start{i}": s for i, s in enumerate(states)}, **{f"out{i}": o for i, o in enumerate(outs)})
            put(case, **dict(cell.named_parameters()), **{f"d{n}": p.grad for n, p in cell.named_parameters()})
            cells.append({"case": case, "kind": kind, "options": camel(options), "given": given})

# ---- losses

losses = []


def run_loss(name, ours, x, target, grad_target=False, **options):
    for reduction in ("mean", "sum", "none"):
        case = f"loss{len(losses)}"
        leaf = x.clone().requires_grad_()
        goal = target.clone().requires_grad_() if grad_target else target
        out = getattr(F, name)(leaf, goal, reduction=reduction, **options)
        weight = torch.linspace(0.5, 2, out.numel(), dtype=torch.float64).reshape(out.shape)
        (out * weight).sum().backward()
        put(case, x=leaf, target=goal, out=out, dx=leaf.grad)
        if grad_target:
            put(case, dtarget=goal.grad)
        extra = {k: v for k, v in options.items() if isinstance(v, torch.Tensor)}
        put(case, **{f"option_{k}": v for k, v in camel(extra).items()})
        plain = {k: v for k, v in options.items() if not isinstance(v, torch.Tensor)}
        losses.append({"case": case, "name": ours, "options": {**camel(plain), "reduction": reduction},
                       "tensors": list(camel(extra)), "gradTarget": grad_target})  # fmt: skip


torch.manual_seed(7)
d = torch.float64
a, b = torch.randn(3, 4, dtype=d) * 2, torch.randn(3, 4, dtype=d)
b[0, 0] = a[0, 0]
run_loss("mse_loss", "mseLoss", a, b, True)
run_loss("mse_loss", "mseLoss", a, b[:1], True)
run_loss("l1_loss", "l1Loss", a, b, True)
run_loss("smooth_l1_loss", "smoothL1Loss", a, b, True)
run_loss("smooth_l1_loss", "smoothL1Loss", a, b, beta=0.5)
# At beta 0 the layer is documented as L1Loss; where x equals y, this version's gradient is not.
run_loss("smooth_l1_loss", "smoothL1Loss", a[1:], b[1:], beta=0)
run_loss("huber_loss", "huberLoss", a, b, True)
run_loss("huber_loss", "huberLoss", a, b, delta=2.5)
weight = torch.rand(4, dtype=d) + 0.5
classes = torch.tensor([0, 3, 1])
ignoring = torch.tensor([0, 2, 2])
log_p = F.log_softmax(a, 1)
run_loss("nll_loss", "nllLoss", log_p, classes)
run_loss("nll_loss", "nllLoss", log_p, ignoring, weight=weight, ignore_index=2)
run_loss("nll_loss", "nllLoss", log_p[0], torch.tensor(2), weight=weight)
for extra in ({}, {"weight": weight}):
    for smoothing in (0.0, 0.2):
        run_loss("cross_entropy", "crossEntropy", a, classes, label_smoothing=smoothing, **extra)
        run_loss("cross_entropy", "crossEntropy", a, ignoring, label_smoothing=smoothing, ignore_index=2, **extra)
        p = F.softmax(b, 1)
        run_loss("cross_entropy", "crossEntropy", a, p, True, label_smoothing=smoothing, **extra)
images, spots = torch.randn(2, 4, 3, 2, dtype=d), torch.randint(0, 4, (2, 3, 2))
spots[0, 0, 0] = -100
run_loss("cross_entropy", "crossEntropy", images, spots, weight=weight, label_smoothing=0.1)
run_loss("cross_entropy", "crossEntropy", images, F.softmax(torch.randn(2, 4, 3, 2, dtype=d), 1), weight=weight)
run_loss("cross_entropy", "crossEntropy", a[0], torch.tensor(1))
run_loss("cross_entropy", "crossEntropy", a, torch.full((3,), -100))
q, y = torch.rand(3, 4, dtype=d), torch.rand(3, 4, dtype=d)
q[0, 0], y[0, 0], q[0, 1], y[0, 1], q[0, 2], y[0, 2] = 0, 1, 1, 0, 1, 1
run_loss("binary_cross_entropy", "binaryCrossEntropy", q, y)
run_loss("binary_cross_entropy", "binaryCrossEntropy", q[1:], y[1:], True, weight=weight)
big = a * 30
run_loss("binary_cross_entropy_with_logits", "binaryCrossEntropyWithLogits", big, y)
run_loss("binary_cross_entropy_with_logits", "binaryCrossEntropyWithLogits", a, y, True, weight=weight)
run_loss("binary_cross_entropy_with_logits", "binaryCrossEntropyWithLogits", big, y, True, pos_weight=weight)
run_loss("binary_cross_entropy_with_logits", "binaryCrossEntropyWithLogits", a, y, weight=b.abs(), pos_weight=weight)

cases = {"init": init, "initialisers": initialisers, "recurrent": recurrent, "cells": cells, "losses": losses}
with open(os.path.join(OUT, "cases.json"), "w") as file:
    file.write("{\n" + ",\n".join(
        f'"{name}": [\n' + ",\n".join(json.dumps(case) for case in group) + "\n]" for name, group in cases.items()
    ) + "\n}\n")  # fmt: skip
save(os.path.join(OUT, "nn.safetensors"), tensors, {"torch": torch.__version__})
