"""State dicts between PyTorch and the library, as safetensors files, for packages/optim/src/interop.test.ts.

Run from the repository's root with Debian's python3-torch (1.13.1):
    /usr/bin/python3 packages/conformance/goldens/interop.py            writes packages/optim/src/goldens/interop.safetensors
    /usr/bin/python3 packages/conformance/goldens/interop.py FILE       loads FILE into the same model, prints its outputs as JSON
The model: an LSTM of two layers and both directions, a GRU, an RNN and a linear layer. The file holds its state dict (written
by safetensors_io.py) and, under `golden.`, an input and the output.
"""
import json
import os
import sys

import torch
from safetensors_io import load, save

OUT = os.path.join(os.path.dirname(__file__), "..", "..", "optim", "src", "goldens", "interop.safetensors")
torch.set_num_threads(1)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(3, 6, num_layers=2, bidirectional=True, batch_first=True)
        self.gru = torch.nn.GRU(12, 4, batch_first=True)
        self.rnn = torch.nn.RNN(4, 5, nonlinearity="relu", batch_first=True)
        self.out = torch.nn.Linear(5, 2)

    def forward(self, x):
        x, _ = self.lstm(x)
        x, _ = self.gru(x)
        x, _ = self.rnn(x)
        return self.out(x)


def write():
    torch.manual_seed(7)
    net, x = Net(), torch.randn(2, 5, 3)
    tensors = {name: value.numpy() for name, value in net.state_dict().items()}
    tensors.update({"golden.x": x.numpy(), "golden.y": net(x).detach().numpy()})
    save(OUT, tensors, {"format": "pt", "torch": torch.__version__})


def read(path):
    tensors, metadata = load(path)
    net = Net()
    state = {name: torch.from_numpy(value.copy()) for name, value in tensors.items() if not name.startswith("golden.")}
    net.load_state_dict(state)
    y = net(torch.from_numpy(tensors["golden.x"].copy()))
    print(json.dumps({"metadata": metadata, "y": y.detach().flatten().tolist()}))


read(sys.argv[1]) if len(sys.argv) > 1 else write()
