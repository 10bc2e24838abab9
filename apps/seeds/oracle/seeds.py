"""Writes ../src/expected.json: what PyTorch 1.13 computes for the seed programs after manual_seed(1).

Run with Debian's python3-torch: /usr/bin/python3 seeds.py. Takes some minutes. Needed only when a program changes:
its result is checked in, and the programs read only that.

Beside every loss stands its spread: how far (relatively, at most) PyTorch's own loss moves when every weight and every
input is moved by about one unit in the last place before training. Two correct implementations differ by at least that
much, so tolerances are multiples of it.
"""
import copy
import json
import math
import os
import sys

import torch
import torch.nn as nn

SEED = 1
HERE = os.path.dirname(os.path.abspath(__file__))
TARGET = os.path.join(HERE, "..", "src", "expected.json")
NUDGES = 3
NUDGE = 1.2e-7
torch.set_printoptions(precision=4, linewidth=80)


class Stepped(nn.Module):
    """The recurrence written out: tanh of a projection of the input plus a projection of the last output."""

    def __init__(self, inputs, neurons, outputs):
        super().__init__()
        self.neurons = neurons
        self.input_weights = nn.Linear(inputs, neurons)
        self.recurrent_weights = nn.Linear(neurons, neurons, bias=False)
        self.fc = nn.Linear(neurons, outputs)

    def forward(self, xs):
        if xs.dim() == 2:
            xs = xs.unsqueeze(2)
        h = torch.zeros(xs.shape[0], self.neurons)
        for t in range(xs.shape[1]):
            h = torch.tanh(self.input_weights(xs[:, t]) + self.recurrent_weights(h))
        return self.fc(h)


class LastState(nn.Module):
    """nn.RNN and a read-out of its final state."""

    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.rnn = nn.RNN(inputs, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, outputs)

    def forward(self, xs):
        _, hn = self.rnn(xs)
        return self.fc(hn.squeeze(0))


class LastOutput(nn.Module):
    """A recurrent layer and a read-out of its last output."""

    def __init__(self, inputs, hidden, outputs, layer=nn.RNN):
        super().__init__()
        self.rnn = layer(inputs, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, outputs)

    def forward(self, xs):
        return self.fc(self.rnn(xs)[0][:, -1, :])


def checkpoints(epochs):
    some = set(range(min(10, epochs))) | {epochs - 1} | {e for e in range(0, epochs, max(1, epochs // 10))}
    return sorted(some | {e for e in range(0, min(epochs, 100), 10)})


def train(model, data, test, epochs, squeeze, batch=None, rate=0.01, clip=None):
    """Losses at the checkpoints: {epoch: [train, test]}, and the test loss at the end.

    With a batch size, rows are taken in order, every epoch is a checkpoint, and its train loss is the mean over batches.
    """
    criterion = nn.MSELoss()
    shaped = (lambda y: y.squeeze()) if squeeze else (lambda y: y)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    marks, losses = set(range(epochs) if batch else checkpoints(epochs)), {}
    rows = len(data[0])

    def on_test():
        with torch.no_grad():
            return criterion(shaped(model(test[0])), test[1]).item()

    for epoch in range(epochs):
        total = 0.0
        for x, y in zip(data[0].split(batch or rows), data[1].split(batch or rows)):
            loss = criterion(shaped(model(x)), y)
            optimizer.zero_grad()
            loss.backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            total += loss.item() * (len(x) / rows)
        if epoch in marks:
            losses[epoch] = [total, on_test()]
    return losses, on_test()


def spread(make, data, test, epochs, squeeze=False, **options):
    """Trains once as is and NUDGES times from nudged numbers: values with their relative spread."""
    base = make()
    start = {k: v.clone() for k, v in base.state_dict().items()}
    losses, final = train(base, data, test, epochs, squeeze, **options)
    worst = {e: [0.0, 0.0] for e in losses}
    worst_final = 0.0
    with torch.random.fork_rng():
        torch.manual_seed(99)
        nudged = lambda x: x * (1 + NUDGE * (2 * torch.rand_like(x) - 1))
        for _ in range(NUDGES):
            base.load_state_dict({k: nudged(v) for k, v in start.items()})
            moved, moved_final = train(base, (nudged(data[0]), data[1]), test, epochs, squeeze, **options)
            for e, pair in moved.items():
                for i in range(2):
                    worst[e][i] = max(worst[e][i], abs(pair[i] / losses[e][i] - 1))
            worst_final = max(worst_final, abs(moved_final / final - 1))
    rows = [[e, *losses[e], *[float("%.2g" % w) for w in worst[e]]] for e in losses]
    print(epochs, rows[0], rows[-1], final, worst_final, file=sys.stderr, flush=True)
    parameters = sum(p.nelement() for p in base.parameters())
    return {"parameters": parameters, "losses": rows, "test": [final, float("%.2g" % worst_final)]}


def seed_001():
    """The two other recurrences, parameters drawn in the order in which they are listed here."""
    found = {}
    x = torch.tensor([[float(t)] * 5 for t in (1, 2, 3)])
    for name in ("outputToHidden", "outputToOutput"):
        torch.manual_seed(SEED)
        back = (2, 1) if name == "outputToHidden" else (1, 1)
        shapes = {"weight_ih": (2, 5), "weight_ho": (1, 2), "bias_h": (2,), "bias_o": (1,), "weight_back": back}
        p = {k: nn.init.uniform_(torch.empty(s), -(2 ** -0.5), 2 ** -0.5) for k, s in shapes.items()}
        o, hs, os_ = torch.zeros(1), [], []
        for t in range(3):
            h = x[t] @ p["weight_ih"].T + p["bias_h"]
            if name == "outputToHidden":
                h = torch.tanh(h + o @ p["weight_back"].T)
                o = torch.tanh(h @ p["weight_ho"].T + p["bias_o"])
            else:
                h = torch.tanh(h)
                o = torch.tanh(h @ p["weight_ho"].T + o @ p["weight_back"].T + p["bias_o"])
            hs.append(h.tolist())
            os_.append(o.tolist())
        found[name] = {"hidden": hs, "output": os_}
    return found


def seed_002():
    torch.manual_seed(SEED)
    found = {}
    ramp = torch.arange(6).repeat(1000, 1) * torch.randn((1000, 1))
    data = ramp[:, :-1], ramp[:, -1]
    one, back = nn.Linear(1, 1), nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        first = torch.tanh(one(data[0][:5, 0].unsqueeze(1)))
        second = torch.tanh(back(first) + one(data[0][:5, 1].unsqueeze(1)))
    found["neuron"] = {"rows": str(data[0][:5]), "first": str(first), "second": str(second)}
    model = Stepped(1, 5, 1)
    test = torch.arange(6).repeat(200, 1) * torch.randn((200, 1))
    found["ramp"] = spread(lambda: model, data, (test[:, :-1], test[:, -1]), 500, squeeze=True)

    a, b = torch.randn((1200, 1)), torch.randn((1200, 1)) * 5
    x = torch.arange(6).repeat((1200, 1))
    tracks = torch.stack([x, a * x + b], dim=2)
    xs, ys = tracks[:, :-1], tracks[:, -1]
    data, test = (xs[:1000], ys[:1000]), (xs[1000:], ys[1000:])
    by_hand, by_layer = Stepped(2, 10, 2), LastState(2, 10, 2)
    found["trajectoriesByHand"] = spread(lambda: by_hand, data, test, 1000)
    found["trajectoriesByLayer"] = spread(lambda: by_layer, data, test, 1000)

    for name, first, hidden, epochs in (("addingNear", -5, 100, 100), ("addingFar", 0, 10, 1000)):
        xs = torch.randn((1200, 100, 1))
        ys = xs[:, first] + xs[:, -1]
        model = LastState(1, hidden, 1)
        found[name] = spread(lambda: model, (xs[:1000], ys[:1000]), (xs[1000:], ys[1000:]), epochs)
    return found


def seed_003():
    torch.manual_seed(SEED)
    x = torch.randn(2, 5, 10)
    labels = torch.tensor([1, 0]).float().unsqueeze(1)
    model, criterion = LastOutput(10, 20, 1), nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = criterion(model(x), labels)
        loss.backward()
        optimizer.step()
        losses.append("%.4f" % loss.item())
    return {"losses": losses}


def seed_004():
    torch.manual_seed(SEED)
    at = lambda rows: torch.tensor(rows, dtype=torch.float)
    found = {}
    x0, x1 = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 0, 1]], [[9, 8, 7], [0, 0, 0], [6, 5, 4], [3, 2, 1]]
    with torch.no_grad():
        for name, inputs, neurons in (("single", 4, 1), ("basic", 3, 5)):
            wide = (lambda rows: [r + [0] for r in rows]) if inputs == 4 else (lambda rows: rows)
            wx, wy = torch.randn(inputs, neurons), torch.randn(neurons, neurons)
            y0 = torch.tanh(at(wide(x0)) @ wx)
            found[name] = [str(y0), str(torch.tanh(y0 @ wy + at(wide(x1)) @ wx))]
        x = torch.stack([at(x0), at(x1)])
        for name in ("cell", "clean"):
            cell, h, texts = nn.RNNCell(3, 5), torch.randn(4, 5), []
            for t in (0, 1) if name == "cell" else (0, 1, 0, 1):
                h = cell(x[t], h)
                texts.append(str(h))
            found[name] = texts
        lstm, h, c = nn.LSTMCell(3, 5), torch.randn(4, 5), torch.randn(4, 5)
        z = at(x0) @ lstm.weight_ih.T + lstm.bias_ih + h @ lstm.weight_hh.T + lstm.bias_hh
        i, f, g, o = z.chunk(4, 1)
        h1, c1 = lstm(at(x0), (h, c))
        gates = {"forget": f.sigmoid(), "input": i.sigmoid(), "candidate": g.tanh(), "output": o.sigmoid()}
        found["lstm"] = {k: str(v) for k, v in {**gates, "cell": c1, "hidden": h1}.items()}
    return found


def open_gates(layer, time):
    """Chrono initialisation (Tallec and Ollivier 2018), its times evenly spaced: units forget over 1 to time - 1 steps."""
    size = layer.hidden_size
    if isinstance(layer, nn.RNN):
        return
    bias = torch.tensor([math.log(1 + i * (time - 2) / (size - 1)) for i in range(size)])
    with torch.no_grad():
        layer.bias_ih_l0[size : 2 * size] = bias
        layer.bias_hh_l0[size : 2 * size] = 0
        if isinstance(layer, nn.LSTM):
            layer.bias_ih_l0[:size] = -bias
            layer.bias_hh_l0[:size] = 0


def gradient_norms(model, x, y):
    """Norms of the gradient of the loss for the state after each step; for LSTM, its memory c. In float64."""
    model, x, y = copy.deepcopy(model).double(), x.double(), y.double()
    layer, states = model.rnn, []
    h = c = torch.zeros(len(x), layer.hidden_size, dtype=torch.double)
    for t in range(x.shape[1]):
        if isinstance(layer, nn.LSTM):  # written out, for the layer does not show c on its way to h
            drive = x[:, t] @ layer.weight_ih_l0.T + layer.bias_ih_l0 + h @ layer.weight_hh_l0.T + layer.bias_hh_l0
            i, f, g, o = drive.chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            states.append(c)
        else:
            h = layer(x[:, t : t + 1], h.unsqueeze(0))[1].squeeze(0)
            states.append(h)
        states[-1].retain_grad()
    nn.MSELoss()(model.fc(h), y).backward()
    return [float("%.7g" % s.grad.norm()) for s in states]


def gates():
    """Each kind starts from the same data and the same place of the random stream."""
    found, time, size, batch = {}, 100, 16, 50
    for kind in (nn.RNN, nn.LSTM, nn.GRU):
        torch.manual_seed(SEED)
        xs = torch.randn((1200, time, 1))
        ys = xs[:, 0] + xs[:, -1]
        model = LastOutput(1, size, 1, kind)
        open_gates(model.rnn, time)
        norms = gradient_norms(model, xs[:batch], ys[:batch])
        data, test = (xs[:1000], ys[:1000]), (xs[1000:], ys[1000:])
        found[kind.__name__] = spread(lambda: model, data, test, 40, batch=batch, rate=0.02, clip=1.0)
        found[kind.__name__]["gradients"] = norms
    return found


programs = {"001": seed_001, "002": seed_002, "003": seed_003, "004": seed_004, "gates": gates}
result = json.load(open(TARGET)) if os.path.exists(TARGET) else {}
for name in sys.argv[1:] or programs:
    result[name] = programs[name]()
result = {"torch": torch.__version__, "seed": SEED, **{k: result[k] for k in sorted(programs) if k in result}}
with open(TARGET, "w") as file:
    json.dump(result, file, indent=1)
    file.write("\n")
