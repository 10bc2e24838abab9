"""Golden calls of the other operations: reductions, movement, products, indexing, order, softmax. Empties, ties, options."""
import torch
import torch.nn.functional as F

from golden_calls import const, mask, t, v, whole

INF, NAN = float("inf"), float("nan")
ROWS = [[NAN, 1.0, 2.0], [INF, -INF, 0.0], [3.0, 3.0, 3.0], [-INF, -INF, -INF], [0.0, -0.0, 0.0]]
INTS = [[3, -1, 2], [0, 5, 5], [-7, 2, 2]]


def keep(o):
    return {"keepdim": True} if o.get("keepdim") else {}


def all_dims(x, d):
    return list(range(x.dim())) if d is None else d


def reductions(r):
    dims = [[], [1], [[0, -1], {"keepdim": True}], [0]]
    for name, f in (("sum", torch.sum), ("mean", torch.mean), ("amax", torch.amax), ("amin", torch.amin)):
        call = lambda x, d=None, o={}, f=f: f(x, all_dims(x, d), **keep(o))
        for rest in dims:
            r.call(name, [t(2, 3, 4), *rest], call)
        r.call(name, [t()], call)
        r.call(name, [v(ROWS), 1], call, grad=False, label="special")
        r.call(name, [t(0, 3), 1], call)
    for shape, d in (((0, 3), 0), ((3, 0), 1), ((0,), 0)):
        r.call("sum", [t(*shape), d], torch.sum)
        r.call("mean", [t(*shape), d], torch.mean)
        r.call("prod", [t(*shape), d], torch.prod)
    prod = lambda x, d=None, o={}: torch.prod(x) if d is None else torch.prod(x, d, **keep(o))
    for rest in ([], [1], [0, {"keepdim": True}]):
        r.call("prod", [t(2, 3), *rest], prod)
    for zeros in ([1.0, 0.0, 3.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]):
        r.call("prod", [v(zeros)], prod, label=f"zeros {zeros}")
        r.call("prod", [v([zeros, [1.0, 2.0, 3.0]]), 1], prod, label=f"zeros {zeros}")
    for name, f in (("amax", torch.amax), ("amin", torch.amin)):
        r.call(name, [v([1.0, 3.0, 3.0, 1.0])], lambda x, f=f: f(x, [0]), label="tie")
    for name, f in (("max", torch.max), ("min", torch.min)):
        r.call(name, [t(2, 3)], f)
        r.call(name, [v([2.0, 1.0, 2.0, 1.0])], f, label="tie")
        r.call(name, [t(2, 3), 1], f)
        r.call(name, [t(2, 3, 2), -2, {"keepdim": True}], lambda x, d, o, f=f: f(x, d, keepdim=True))
        r.call(name, [v(ROWS), 1], f, label="first of equals")
        r.call(name, [whole(INTS, "int32"), 0], f, dtypes=("int32",))
    for name, f in (("max", torch.max), ("min", torch.min), ("median", torch.median)):
        r.call(name, [v([0.0, 1.0, 0.0, 0.0, -0.0])], f, label="equals share")
        r.call(name, [v([1.0, NAN, 3.0, NAN])], f, label="NaN shares")
    r.call("median", [t(0)], torch.median, grad=False)
    r.call("prod", [v([[0.0, 2.0, 0.0], [3.0, 0.0, 2.0]]), 1], torch.prod, label="two zeros")
    for name, f in (("argmax", torch.argmax), ("argmin", torch.argmin)):
        for args in ([t(2, 3)], [t(2, 3), 1], [v(ROWS), 1], [v(ROWS), 0], [whole(INTS, "int32"), 1], [t()]):
            r.call(name, args, f, grad=False)
        r.call(name, [t(2, 3), 0, {"keepdim": True}], lambda x, d, o, f=f: f(x, d, keepdim=True), grad=False)
        r.call(name, [t(2, 3), None, {"keepdim": True}], lambda x, d, o, f=f: f(x, keepdim=True).reshape(1, 1), grad=False)
    for name, f in (("any", torch.any), ("all", torch.all)):
        for args in ([mask(2, 3)], [mask(2, 3), 1], [v([[0.0, 1.0], [NAN, 2.0]]), 1], [mask(0)], [whole([[1, 0], [2, 3]], "uint8"), 0]):
            r.call(name, args, f, grad=False)
        r.call(name, [mask(2, 0), 1, {"keepdim": True}], lambda x, d, o, f=f: f(x, d, keepdim=True), grad=False)
    for args in ([t(2, 3)], [v([[0.0, NAN], [0.0, -0.0]]), 1], [mask(2, 3), 0]):
        r.call("countNonzero", args, torch.count_nonzero, grad=False)
    for dtype in ("int32", "uint8", "bool"):
        values = [[1, 0, 1], [1, 1, 0]] if dtype == "bool" else [[1, 2, 200], [3, 0, 100]]
        for name, f in (("sum", torch.sum), ("prod", torch.prod)):
            r.call(name, [whole(values, dtype), 1], f, dtypes=("float32",), label=dtype)
    r.call("sum", [whole([[1, 2], [3, 4]], "int64")], torch.sum, dtypes=("int64",), keep64=True)
    r.call("sum", [t(2, 3), 1, {"dtype": "float64"}], lambda x, d, o: torch.sum(x, d, dtype=torch.float64))
    r.call("mean", [whole([[1, 2], [3, 4]], "int32"), 0, {"dtype": "float32"}], lambda x, d, o: torch.mean(x, d, dtype=torch.float32))


def moments(r):
    for name, f in (("variance", torch.var), ("std", torch.std)):
        r.call(name, [t(2, 3)], f)
        r.call(name, [t(2, 3), 1], lambda x, d, f=f: f(x, d))
        r.call(name, [t(2, 3, 4), [0, 2], {"keepdim": True, "correction": 0}], lambda x, d, o, f=f: f(x, d, correction=0, keepdim=True))
        r.call(name, [v([[2.0, 2.0, 2.0], [1.0, 2.0, 4.0]]), 1], lambda x, d, f=f: f(x, d), label="no spread")
        r.call(name, [t(3, 1), 1], lambda x, d, f=f: f(x, d), grad=False, label="one value")
        r.call(name, [v(ROWS), 1], lambda x, d, f=f: f(x, d), grad=False, label="special")
    lse = lambda x, d=None, o={}: torch.logsumexp(x, all_dims(x, d), **keep(o))
    for args in ([t(2, 3), 1], [t(2, 3), [0, 1], {"keepdim": True}], [v([[1000.0, 1000.0], [-1000.0, 0.0], [-INF, -INF]]), 1], [t(2, 3)]):
        r.call("logsumexp", args, lse, grad=len(args) < 2 or args[1] != 1 or True)
    r.call("logsumexp", [v(ROWS), 1], lse, grad=False, label="special")
    r.call("logsumexp", [whole(INTS, "int32"), 1], lse, grad=False, dtypes=("int32",), label="whole")
    norm = lambda x, p=2, d=None, o={}: torch.norm(x, p, dim=all_dims(x, d), **keep(o)) if d is not None or x.dim() else torch.norm(x, p)
    for args in ([t(2, 3)], [t(2, 3), 1, 1], [t(2, 3), 3, 0, {"keepdim": True}], [t(2, 3), INF, 1], [t(2, 3), -INF], [t(2, 3), 0.5, [0, 1]], [t(2, 3), 0, 1], [t(2, 3), 2, 1], [t(2, 3), -1, 1]):
        r.call("norm", args, norm)
    for p in (2, 1, 3, INF, 1.5):
        r.call("norm", [v([[0.0, 0.0], [3.0, -4.0], [0.0, 1.0]]), p, 1], norm, label=f"zeros p={p}")


def standardised(r):
    for shape, dims, eps in (((2, 3), 1, 1e-5), ((3, 2, 4), [0, 2], 0.1), ((2, 3), None, 1e-5), ((5, 7), 0, 1e-3)):
        def f(x, *o, d=dims, eps=eps):
            over = list(range(x.ndim)) if d is None else d
            return (x - x.mean(over, keepdim=True)) / (x.var(over, unbiased=False, keepdim=True) + eps).sqrt()
        r.call("standardize", [t(*shape)] if dims is None else [t(*shape), dims, {"eps": eps}], f)
    r.call("standardize", [t(2, 3, 4), [1, 2]], lambda x, d: F.layer_norm(x, (3, 4)))


def scans(r):
    for name, f in (("cumsum", torch.cumsum), ("cumprod", torch.cumprod), ("cummax", torch.cummax), ("cummin", torch.cummin), ("logcumsumexp", torch.logcumsumexp)):
        for args in ([t(2, 3), 1], [t(4, 2), 0], [t(2, 3, 2), -2], [t(0, 3), 0]):
            r.call(name, args, f)
        if name != "logcumsumexp":
            r.call(name, [v(ROWS), 1], f, grad=False, label="special")
            r.call(name, [whole(INTS, "int32"), 1], f, grad=False, label="whole")
    for zeros in ([1.0, 0.0, 3.0, 2.0], [0.0, 2.0, 0.0, 4.0], [2.0, 3.0, 4.0, 0.0]):
        r.call("cumprod", [v(zeros), 0], torch.cumprod, label=f"zeros {zeros}")
    for name, f in (("cummax", torch.cummax), ("cummin", torch.cummin)):
        r.call(name, [v([1.0, 2.0, 2.0, 1.0, 1.0, 2.0]), 0], f, label="ties")
    r.call("cumsum", [t(2, 3), 1, {"dtype": "float64"}], lambda x, d, o: torch.cumsum(x, d, dtype=torch.float64))
    r.call("cumprod", [t(2, 3), 1, {"dtype": "float64"}], lambda x, d, o: torch.cumprod(x, d, dtype=torch.float64))
    for args in ([t(5)], [t(2, 4), 2], [t(4, 2), 1, 0], [t(2), 3]):
        r.call("diff", args, torch.diff)
    r.call("diff", [t(3), 1, -1, {"prepend": t(1), "append": t(2)}], lambda x, n, d, o: torch.diff(x, n, d, **o))


def softmaxes(r):
    for name, f in (("softmax", torch.softmax), ("logSoftmax", torch.log_softmax), ("softmin", F.softmin)):
        for args in ([t(2, 3), 1], [t(3, 2), 0], [t(2, 3, 2), -2], [t(), 0], [t(0, 3), 1], [t(2, 1), 1]):
            r.call(name, args, f)
        r.call(name, [v([[1000.0, 999.0, -1000.0], [-INF, 0.0, 1.0], [200.0, 200.0, 200.0]]), 1], f, label="large")
        r.call(name, [v([[-INF, -INF], [NAN, 0.0], [INF, 0.0]]), 1], f, grad=False, label="special")
        r.call(name, [t(2, 3), 1, {"dtype": "float64"}], lambda x, d, o, f=f: f(x, d, dtype=torch.float64))


def strided_scatter(x, source, *window):
    """torch.as_strided_scatter; the gradients of 1.13's own read uninitialised memory."""
    y = x.clone()
    y.as_strided(*window).copy_(source)
    return y


def movement(r):
    pick = {"contiguous": lambda x: x.contiguous(), "clone": torch.clone, "detach": lambda x: x.detach(), "transposed": torch.t}
    for name, f in pick.items():
        r.call(name, [t(2, 3)], f)
    for args in ([t(2, 6), 3, 4], [t(2, 6), [-1]], [t(1), []], [t(0, 3), 3, 0], [t(2, 6), [4, -1]]):
        for name in ("reshape", "view"):
            r.call(name, args, lambda x, *s, n=name: getattr(x, n)(*s))
    r.call("viewAs", [t(2, 6), const(t(3, 4))], lambda x, y: x.view_as(y))
    r.call("expandAs", [t(3, 1), const(t(3, 4))], lambda x, y: x.expand_as(y))
    for args in ([t(2, 3, 4)], [t(2, 3, 4), 1], [t(2, 3, 4), 0, 1], [t()]):
        r.call("flatten", args, torch.flatten)
    r.call("unflatten", [t(2, 6), 1, [2, 3]], lambda x, d, s: x.unflatten(d, s))
    for args in ([t(1, 3, 1)], [t(1, 3, 1), 0], [t(2, 3), 1]):
        r.call("squeeze", args, torch.squeeze)
    for d in (0, -1, 1):
        r.call("unsqueeze", [t(2, 3), d], torch.unsqueeze)
    for args in ([t(2, 3, 4), 2, 0, 1], [t(2, 3), [-1, 0]]):
        r.call("permute", args, lambda x, *d: x.permute(*d))
    r.call("transpose", [t(2, 3, 4), 0, 2], torch.transpose)
    r.call("movedim", [t(2, 3, 4), [0, 1], [-1, 0]], torch.movedim)
    r.call("movedim", [t(2, 3, 4), 0, 2], torch.movedim)
    for args in ([t(3, 1), 3, 4], [t(3, 1), -1, 2], [t(3), [2, 3]], [t(), 2, 2], [t(1), 0]):
        r.call("expand", args, lambda x, *s: x.expand(*s))
    r.call("asStrided", [t(4, 3), [2, 2], [3, 1], 1], torch.as_strided)
    r.call("asStridedScatter", [t(4, 3), t(2, 2), [2, 2], [3, 1], 1], strided_scatter)
    for args in ([t(7), 0, 3, 1], [t(2, 7), 1, 3, 2], [t(6, 2), 0, 2, 2]):
        r.call("unfold", args, lambda x, *a: x.unfold(*a))
    r.call("unfold", [t(), 0, 1, 1], lambda x, *a: x.unfold(*a))
    for args in ([t(3, 4)], [t(3, 4), 1], [t(3, 4), -1], [t(2, 3, 4), 0, 0, 2], [t(2, 2), 5]):
        r.call("diagonal", args, torch.diagonal)
    r.call("toDType", [t(2, 3), "float64"], lambda x, d: x.to(torch.float64))
    r.call("toDType", [v([1.9, -1.9, 0.5, 0.0]), "int32"], lambda x, d: x.to(torch.int32), grad=False)
    r.call("toDType", [v([1.9, -0.0, NAN, 0.0]), "bool"], lambda x, d: x.to(torch.bool), grad=False)
    r.call("toDType", [whole([1, 0, 300, -1], "int32"), "uint8"], lambda x, d: x.to(torch.uint8), dtypes=("int32",))
    r.call("toDType", [whole([16777217, -5], "int32"), "float32"], lambda x, d: x.to(torch.float32), dtypes=("int32",))


def arranging(r):
    for args in ([t(2, 3), 0], [t(2, 3, 2), [0, -1]], [t(3), 0], [t(0, 2), 0]):
        r.call("flip", args, lambda x, *d: x.flip(*d))
    for args in ([t(4, 2), 1, 0], [t(2, 3), [-1, 4], [0, 1]], [t(2, 3), 2]):
        r.call("roll", args, torch.roll)
    for args in ([t(2, 3)], [t(2, 3), -1], [t(2, 3, 2), 2, [1, 2]], [t(2, 3), 4], [t(2, 3), 3]):
        r.call("rot90", args, torch.rot90)
    for args in ([t(2, 3), [1, 2]], [t(2, 3), [0, 1, 2, -1], "constant", 1.5], [t(2, 4), [-1, -2]], [t(1, 2, 4), [3, 2], "reflect"], [t(1, 2, 4), [3, 5], "replicate"], [t(1, 3, 4), [4, 1], "circular"]):
        r.call("pad", args, F.pad)
    for name, f in (("tril", torch.tril), ("triu", torch.triu)):
        for args in ([t(3, 4)], [t(4, 3), 1], [t(2, 3, 3), -1]):
            r.call(name, args, f)
    for args in ([t(3)], [t(2), 1], [t(2), -2], [t(3, 4)], [t(3, 4), -1]):
        r.call("diag", args, torch.diag)
    for args in ([t(2, 3), 2, 1], [t(3), [2, 2]], [t(), 3], [t(2, 3), 0, 1], [t(2, 1), 1, 3]):
        r.call("repeat", args, lambda x, *n: x.repeat(*n))
    for args in ([t(2, 3), 2], [t(3), 2, 2], [t(2, 3), [2, 1]]):
        r.call("tile", args, lambda x, *n: torch.tile(x, n[0] if isinstance(n[0], list) else n))
    spread = lambda x, n, d=None: torch.repeat_interleave(x, torch.tensor(n) if isinstance(n, list) else n, d)
    for args in ([t(2, 3), 2], [t(2, 3), 2, 1], [t(3, 2), [1, 0, 2], 0], [t(2, 2), 0, 0]):
        r.call("repeatInterleave", args, spread)
    r.call("meshgrid", [[t(2), t(3)]], lambda xs: torch.meshgrid(*xs, indexing="ij"))
    r.call("meshgrid", [[t(2), t(3), t(4)], {"indexing": "xy"}], lambda xs, o: torch.meshgrid(*xs, indexing="xy"))


def joining(r):
    for args in ([[t(2, 3), t(1, 3)]], [[t(2, 3), t(2, 1), t(2, 2)], -1], [[t(0), t(2, 3)], 1], [[t(2, 0), t(2, 3)], 1]):
        r.call("cat", args, torch.cat)
    r.call("cat", [[t(2), whole([1, 2], "int32")]], torch.cat, label="promoted")
    for args in ([[t(2, 3), t(2, 3)]], [[t(3), t(3), t(3)], -1], [[t(), t()]]):
        r.call("stack", args, torch.stack)
    for name, f in (("hstack", torch.hstack), ("vstack", torch.vstack)):
        for args in ([[t(2, 3), t(2, 3)]], [[t(3), t(3)]], [[t(), t()]]):
            r.call(name, args, f)
    for args in ([t(3, 2)], [t(2, 3, 2), -2], [t(3)]):
        r.call("unbind", args, torch.unbind)
    for args in ([t(5, 2), 2], [t(2, 5), [1, 0, 4], -1], [t(4), 4]):
        r.call("split", args, torch.split)
    for args in ([t(6, 2), 3], [t(2, 5), 2, -1], [t(5), 4], [t(2), 5]):
        r.call("chunk", args, torch.chunk)


def products(r):
    for a, b in (((2, 3), (3, 4)), ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 2, 3), (3, 4)), ((2, 1, 2, 3), (4, 3, 2)), ((3,), (2, 3, 2)), ((2, 3, 2), (2,)), ((0, 3), (3, 2)), ((2, 0), (0, 3)), ((17, 33), (33, 9))):
        r.call("matmul", [t(*a), t(*b)], torch.matmul)
    r.call("matmul", [whole(INTS, "int32"), whole(INTS, "int32")], torch.matmul, dtypes=("int32",))
    r.call("matmul", [v([[INF, 1.0], [NAN, 2.0]]), v([[0.0], [1.0]])], torch.matmul, grad=False, label="special")
    r.call("mm", [t(2, 3), t(3, 4)], torch.mm)
    r.call("bmm", [t(2, 2, 3), t(2, 3, 4)], torch.bmm)
    r.call("mv", [t(2, 3), t(3)], torch.mv)
    r.call("dot", [t(3), t(3)], torch.dot)
    r.call("dot", [t(0), t(0)], torch.dot)
    r.call("outer", [t(2), t(3)], torch.outer)
    for name, f, shapes in (("addmm", torch.addmm, ((4,), (2, 3), (3, 4))), ("baddbmm", torch.baddbmm, ((2, 2, 4), (2, 2, 3), (2, 3, 4))), ("addmv", torch.addmv, ((2,), (2, 3), (3,)))):
        x, a, b = (t(*s) for s in shapes)
        r.call(name, [x, a, b], f)
        r.call(name, [x, a, b, {"beta": 0.5, "alpha": -2}], lambda x, a, b, o, f=f: f(x, a, b, **o))
        if name != "baddbmm":  # 1.13's reads uninitialised memory at beta 0
            r.call(name, [v(NAN), a, b, {"beta": 0}], lambda x, a, b, o, f=f: f(x, a, b, **o), grad=False, label="beta 0")
    for args in ([t(2, 3), t(4, 3), t(4)], [t(2, 5, 3), t(4, 3)], [t(3), t(4, 3), t(4)], [t(0, 3), t(4, 3), t(4)]):
        r.call("linear", args, F.linear)
    for equation, *shapes in (("ij,jk->ik", (2, 3), (3, 4)), ("bij,bjk", (2, 2, 3), (2, 3, 2)), ("ii", (3, 3)), ("iij->ji", (2, 2, 3)), ("i,j->ij", (2,), (3,)), ("...ij,...jk->...ik", (2, 1, 2, 3), (4, 3, 2)), ("ij->", (2, 3)), ("i j, k j l, i l -> i k", (2, 3), (4, 3, 2), (2, 2)), ("ij,j->i", (2, 0), (0,)), ("bhqd,bhkd->bhqk", (2, 2, 3, 4), (2, 2, 5, 4))):
        r.call("einsum", [equation, *(t(*s) for s in shapes)], torch.einsum)


def layer(cell, projected, weight, bias, state, o={}):
    """PyTorch's own layer, whose input weights are the identity: what is projected comes in as it is."""
    width = projected.shape[-1]
    weights = [torch.eye(width, dtype=weight.dtype), weight]
    if bias is not None:
        weights += [torch.zeros(width, dtype=weight.dtype), bias]
    x = projected.flip(0) if o.get("reverse") else projected
    states = [h.unsqueeze(0) for h in state]
    f = {"tanh": torch.rnn_tanh, "relu": torch.rnn_relu, "lstm": torch.lstm, "gru": torch.gru}[cell]
    out, *last = f(x, states if cell == "lstm" else states[0], weights, bias is not None, 1, 0.0, False, False, False)
    return [out.flip(0) if o.get("reverse") else out, *(h.squeeze(0) for h in last)]


def step(cell, projected, weight, bias, state):
    """The layer over one time."""
    return layer(cell, projected.unsqueeze(0), weight, bias, state)[1:]


def recurrences(r):
    for cell, gates in (("tanh", 1), ("relu", 1), ("lstm", 4), ("gru", 3)):
        for steps, batch, size, bias, o in ((3, 2, 2, True, []), (4, 1, 3, False, [{"reverse": True}]), (1, 3, 5, True, [{"reverse": True}])):
            state = [t(batch, size) for _ in range(2 if cell == "lstm" else 1)]
            r.call("recurrent", [cell, t(steps, batch, gates * size), t(gates * size, size), t(gates * size) if bias else None, state, *o], layer)
        for batch, size, bias in ((2, 3, True), (1, 5, False)):
            state = [t(batch, size) for _ in range(2 if cell == "lstm" else 1)]
            r.call("recurrentStep", [cell, t(batch, gates * size), t(gates * size, size), t(gates * size) if bias else None, state], step)


def record(r):
    for group in (reductions, moments, standardised, scans, softmaxes, movement, arranging, joining, products, recurrences):
        group(r)



