#!/usr/bin/env python3
"""The process in which PyTorch is timed, on one thread: pytorch.py [--ftz] <workload...>, or pytorch.py blas.
nn.RNN, nn.LSTM, nn.GRU (W1b by hand); the same data and weights as workloads.ts, timed as timing.ts does.
--ftz: denormals flushed to zero, which PyTorch does not do by itself."""
import json, math, os, sys, time
import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.set_num_threads(1)
pc = time.perf_counter
PATIENCE = float(os.environ.get('BENCH_BUDGET', 1))


def uniforms(seed, n):
    i = np.arange(1, n + 1, dtype=np.uint64)
    M = np.uint64(0xFFFFFFFF)
    t = (np.uint64(seed) + np.uint64(0x6D2B79F5) * i) & M
    t = ((t ^ (t >> np.uint64(15))) * (t | np.uint64(1))) & M
    t = t ^ ((t + (((t ^ (t >> np.uint64(7))) * (t | np.uint64(61))) & M)) & M)
    return (t ^ (t >> np.uint64(14))).astype(np.float64) / 4294967296


def param(seed, shape, k):
    return torch.from_numpy((-k + 2 * k * uniforms(seed, int(np.prod(shape)))).astype(np.float32).reshape(shape))


def load_rec(m, seed, I, H, G):
    k = 1 / math.sqrt(H)
    with torch.no_grad():
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        for j, (n, s) in enumerate(zip(names, ([G * H, I], [G * H, H], [G * H], [G * H]))):
            getattr(m, n if hasattr(m, n) else n + "_l0").copy_(param(seed + j, s, k))
    return m


def load_lin(m, seed):
    k = 1 / math.sqrt(m.in_features)
    with torch.no_grad():
        m.weight.copy_(param(seed, list(m.weight.shape), k))
        if m.bias is not None:
            m.bias.copy_(param(seed + 1, list(m.bias.shape), k))
    return m


def trajectory(N, T, Fe, seed):
    u = uniforms(seed, 3 * N).reshape(N, 3)
    th, w, r = 2 * np.pi * u[:, 0], 0.2 + 0.4 * u[:, 1], 0.5 + 0.5 * u[:, 2]
    t = np.arange(T + 1)
    a = th[:, None] + w[:, None] * t
    p = np.stack([r[:, None] * np.cos(a), r[:, None] * np.sin(a)], -1)
    if Fe == 1:
        p = p[:, :, 1:]
    p = p.astype(np.float32)
    return torch.from_numpy(p[:, :T].copy()), torch.from_numpy(p[:, T].copy())


def stepper(params, lr, loss_fn, clip=None):
    params = list(params)
    opt = torch.optim.Adam(params, lr=lr)

    def step():
        opt.zero_grad(set_to_none=True)
        loss = loss_fn()
        loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(params, clip)
        opt.step()
        return loss.detach()

    return step


W1D = trajectory(1000, 5, 2, 11)
W1BD = trajectory(1000, 5, 1, 12)


def W1():
    x, y = W1D
    rnn = load_rec(nn.RNN(2, 10, batch_first=True), 101, 2, 10, 1)
    out = load_lin(nn.Linear(10, 2), 105)
    return stepper([*rnn.parameters(), *out.parameters()], 0.01, lambda: F.mse_loss(out(rnn(x)[0][:, -1]), y))


def W1b():
    x, y = W1BD
    inp, hh, out = load_lin(nn.Linear(1, 5), 201), load_lin(nn.Linear(5, 5, bias=False), 203), load_lin(nn.Linear(5, 1), 205)
    xs = [x[:, t].contiguous() for t in range(5)]
    h0 = torch.zeros(1000, 5)

    def loss():
        h = h0
        for t in range(5):
            h = torch.tanh(inp(xs[t]) + hh(h))
        return F.mse_loss(out(h), y)

    return stepper([*inp.parameters(), *hh.parameters(), *out.parameters()], 0.01, loss)


def W2():
    N, T = 1000, 100
    u = uniforms(13, 4 * N).reshape(N, 4)
    x = np.zeros((N, T, 1), np.float32)
    r = np.arange(N)
    x[r, np.floor(u[:, 0] * 50).astype(int), 0] = u[:, 2]
    x[r, 50 + np.floor(u[:, 1] * 50).astype(int), 0] = u[:, 3]
    x, y = torch.from_numpy(x), torch.from_numpy((u[:, 2:3] + u[:, 3:4]).astype(np.float32))
    rnn = load_rec(nn.RNN(1, 100, batch_first=True), 301, 1, 100, 1)
    out = load_lin(nn.Linear(100, 1), 305)
    return stepper([*rnn.parameters(), *out.parameters()], 0.001, lambda: F.mse_loss(out(rnn(x)[0][:, -1]), y))


def W3():
    B, T, V = 32, 64, 96
    n = B * (T + 1)
    uw, ut, text, k = uniforms(14, 640), uniforms(15, n), [], 0
    while len(text) < n:
        w = int(ut[k] * 64) * 10
        text += [1 + int(uw[w + 1 + j] * 95) for j in range(2 + int(uw[w] * 7))] + [0]
        k += 1
    a = torch.tensor(text[:n]).reshape(B, T + 1)
    ids, tgt = a[:, :T].contiguous(), a[:, 1:].reshape(-1)
    emb = nn.Embedding(V, 128)
    with torch.no_grad():
        emb.weight.copy_(param(401, [V, 128], 0.1))
    rnn = load_rec(nn.LSTM(128, 256, batch_first=True), 402, 128, 256, 4)
    out = load_lin(nn.Linear(256, V), 406)
    loss = lambda: F.cross_entropy(out(rnn(emb(ids))[0]).reshape(-1, V), tgt)
    return stepper([*emb.parameters(), *rnn.parameters(), *out.parameters()], 0.002, loss, clip=1.0)


def W4(zbias=2.0):
    B, T, V = 32, 200, 20000
    u = uniforms(16, 2 * B * T).reshape(B, T, 2)
    yb = np.arange(B) % 2
    ids = np.where(u[..., 0] < 0.2, yb[:, None] * 50 + np.floor(u[..., 1] * 50), np.floor(u[..., 1] * V)).astype(np.int64)
    ids, y = torch.from_numpy(ids), torch.from_numpy(yb.astype(np.float32))[:, None]
    emb = nn.Embedding(V, 64)
    with torch.no_grad():
        emb.weight.copy_(param(501, [V, 64], 0.1))
    rnn = load_rec(nn.GRU(64, 128, batch_first=True), 502, 64, 128, 3)
    with torch.no_grad():
        rnn.bias_hh_l0[128:256] += zbias
    out = load_lin(nn.Linear(128, 1), 506)
    loss = lambda: F.binary_cross_entropy_with_logits(out(rnn(emb(ids))[1][0]), y)
    return stepper([*emb.parameters(), *rnn.parameters(), *out.parameters()], 0.001, loss)


PLAN = dict(W1=(30, 300, 20), W1b=(30, 300, 20), W2=(3, 30, 12), W3=(3, 30, 12), W4=(3, 30, 12), W4d=(1, 8, 12))


def train(name, make):
    warm, iters, budget = PLAN[name]

    def run(step, n, mn, b):
        ts, ls, t0 = [], [], pc()
        while len(ts) < n and (len(ts) < mn or pc() - t0 < b * PATIENCE):
            a = pc()
            l = step()
            ts.append((pc() - a) * 1e3)
            ls.append(l.item())
        return ts, ls

    w, _ = run(make(), warm, 1, budget / 3)
    ts, ls = run(make(), iters, 3, budget)
    return dict(workload=name, median_ms=float(np.median(ts)), min_ms=min(ts), loss=ls[-1], steps=len(ts), first_ms=w[0],
                losses={i: ls[i - 1] for i in (1, 2, 3, 5, 10, 20, 30, 100, 300) if i <= len(ls)})


def full(name, make, n=1000, reps=3):
    ts = []
    for _ in range(reps):
        a = pc()
        step = make()
        for _ in range(n):
            l = step()
        l = l.item()
        ts.append((pc() - a) * 1e3)
    return dict(workload=name, median_ms=float(np.median(ts)), min_ms=min(ts), loss=l, steps=n, first_ms=ts[0])


def W5():
    cell = load_rec(nn.LSTMCell(64, 128), 602, 64, 128, 4)
    x = param(601, [1, 64], 1)
    h = c = torch.zeros(1, 128)
    with torch.inference_mode():
        for i in range(510):
            h, c = cell(x, (h, c))
            if i == 9:
                chk = h.sum().item()
        ts = []
        for _ in range(100):
            a = pc()
            for _ in range(50):
                h, c = cell(x, (h, c))
            ts.append((pc() - a) * 1e3 / 50)
    return dict(workload="W5", median_ms=float(np.median(ts)), min_ms=min(ts), loss=None, check=chk, steps=5000)


CASES = {
    "W1-run": lambda: full("W1-run", W1),
    "W1": lambda: train("W1", W1), "W1b": lambda: train("W1b", W1b), "W2": lambda: train("W2", W2),
    "W3": lambda: train("W3", W3), "W4": lambda: train("W4", W4), "W4d": lambda: train("W4d", lambda: W4(0.0)), "W5": W5,
}


SIZES = {"64K": 2**16, "1M": 2**20}
CHAIN = 100
STEPS = 64


def operation(name):
    """The call that an operation's name stands for (operations.ts), and how many operations it makes."""
    kind, *rest = name.split(" ")
    if kind == "matmul":
        layout, n = rest[0], int(rest[1])
        a, b = param(1, [n, n], 1), param(2, [n, n], 1)
        a, b = (a.t() if layout == "TN" else a), (b.t() if layout == "NT" else b)
        return (lambda: a @ b), 1
    if kind == "recurrence":
        batch, size = int(rest[0]), int(rest[1])
        p, start, w, b = param(1, [STEPS, batch, size], 1), param(2, [batch, size], 1), param(3, [size, size], 1), param(4, [size], 1)

        def recur():
            h, outputs = start, []
            for x in p.unbind(0):
                h = F.relu(x + F.linear(h, w, b))
                outputs.append(h)
            return torch.stack(outputs)

        return recur, 1
    if rest[0] == "16":
        x, y = param(1, [16], 1), param(2, [16], 1)
        if len(rest) == 1:
            return (lambda: x + y), 1
        x.requires_grad_()

        def chained():
            s = x
            for _ in range(CHAIN):
                s = s + y
            if rest[-1] == "backward":
                x.grad = None
                s.sum().backward()

        return chained, CHAIN
    n = SIZES[rest[0]]
    x, y = param(1, [n], 1), param(2, [n], 1)
    if kind == "softmax":
        square = x.reshape(int(n**0.5), -1)
        return (lambda: F.softmax(square, 1)), 1
    return (lambda: torch.add(x, y)) if kind == "add" else (lambda: getattr(torch, kind)(x)), 1


def time_operation(name):
    call, divisor = operation(name)
    t = pc()
    call()
    first, t, warm = pc() - t, pc(), 0
    while warm < 3 or (warm < 2000 and pc() - t < 0.5 * PATIENCE):
        call()
        warm += 1
    size = max(1, round(0.004 / ((pc() - t) / warm)))
    ts, t0 = [], pc()
    while len(ts) < 25 and (len(ts) < 3 or pc() - t0 < 2 * PATIENCE):
        a = pc()
        for _ in range(size):
            call()
        ts.append((pc() - a) * 1e3 / size / divisor)
    return dict(workload=name, median_ms=float(np.median(ts)), min_ms=min(ts), first_ms=first * 1e3 / divisor, steps=len(ts) * size * divisor)


def blas():
    """GFLOP/s of a 1024 matmul: Debian's reference BLAS gives 1 to 4, OpenBLAS 50 and more."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    ts = []
    for _ in range(8):
        t = pc()
        a @ b
        ts.append(pc() - t)
    return 2 * 1024**3 / min(ts) / 1e9


if __name__ == "__main__":
    if sys.argv[1:] == ["blas"]:
        try:
            libraries = sorted({os.path.basename(l.split()[-1]) for l in open("/proc/self/maps") if "blas" in l})
        except OSError:
            libraries = []
        print(json.dumps(dict(workload="blas", gflops=blas(), torch=torch.__version__, blas=libraries)))
        sys.exit()
    wanted = [a for a in sys.argv[1:] if a != "--ftz"]
    if len(wanted) < len(sys.argv) - 1:
        torch.set_flush_denormal(True)
    for name in wanted:
        try:
            print(json.dumps(CASES[name]() if name in CASES else time_operation(name)), flush=True)
        except Exception as error:
            print(json.dumps(dict(workload=name, error=f"{type(error).__name__}: {error}"[:300])), flush=True)
