"""PyTorch's layers over rows of a small table, for packages/nn/src/goldens/tables.safetensors.

Run from the repository's root with Debian's python3-torch (1.13.1):
    /usr/bin/python3 packages/conformance/goldens/tables.py
Tables are looked up often enough for the layer behind them to multiply the table's rows. Tensors are <case>/<name>: index,
w_* (what the run starts from), out, d_* (gradients of out's sum with weights sin(0), sin(1), ...).
"""
import os

import torch
from safetensors_io import save
from torch import nn

OUT = os.path.join(os.path.dirname(__file__), "..", "..", "nn", "src", "goldens", "tables.safetensors")
tensors = {}
torch.set_num_threads(1)
torch.manual_seed(0)


def put(case, **values):
    for name, value in values.items():
        array = value.detach().numpy().copy()
        tensors[f"{case}/{name}"] = array.astype("int32") if array.dtype == "int64" else array


class Tied(nn.Module):
    """The table is also the weight of the layer behind it."""

    def __init__(self, table):
        super().__init__()
        self.table = [table]

    def forward(self, x):
        return nn.functional.linear(x, self.table[0].weight)


def run(case, table, layer, index):
    model = nn.ModuleDict({"table": table, "layer": layer}).double()
    out = layer(table(index))
    out = out[0] if isinstance(out, tuple) else out
    weights = torch.arange(out.numel(), dtype=torch.float64).sin().reshape(out.shape)
    (out * weights).sum().backward()
    put(case, index=index, out=out)
    for name, parameter in model.named_parameters():
        put(case, **{f"w_{name}": parameter, f"d_{name}": parameter.grad})


index = torch.randint(0, 4, (3, 7))
run("lstm", nn.Embedding(4, 16, padding_idx=2), nn.LSTM(16, 3, batch_first=True, bidirectional=True), index)
run("gru", nn.Embedding(4, 17), nn.GRU(17, 3, num_layers=2), index)
run("rnn", nn.Embedding(4, 16), nn.RNN(16, 5, bias=False, batch_first=True), index)
run("linear", nn.Embedding(4, 16, padding_idx=0), nn.Linear(16, 6), index)
table = nn.Embedding(4, 16)
run("tied", table, Tied(table), index)
run("often", nn.Embedding(4, 16, scale_grad_by_freq=True), nn.Linear(16, 2), index)
run("short", nn.Embedding(4, 16, max_norm=1.0), nn.Linear(16, 2, bias=False), index)
save(OUT, tensors)
