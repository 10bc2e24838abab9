"""Golden calls of indexing and order: gather to setItem_, masks, sort, topk. Items are written as Rondo writes them."""
import torch
import torch.nn.functional as F

from golden_calls import const, idx, index, mask, t, v, whole

INF, NAN = float("inf"), float("nan")


def item(x):
    """Python's index for one of Rondo's: strings are ranges, objects too."""
    if isinstance(x, str):
        return Ellipsis if x == "..." else slice(*(int(p) if p else None for p in x.split(":")))
    return slice(x["start"], x["stop"], x["step"]) if isinstance(x, dict) else x


def items(list_):
    return tuple(item(x) for x in list_)


def lookups(r):
    for args in ([t(3, 4), 0, idx(3, 5, 4)], [t(3, 4), -1, idx(4, 2, 3)], [t(2, 3, 4), 1, idx(3, 2, 5, 4)], [t(3), 0, idx(3, 0)], [t(), 0, idx(1)]):
        r.call("gather", args, torch.gather)
    rows = [[0, 2, 1, 0]]
    r.call("scatter", [t(3, 4), 0, index(rows), t(1, 4)], torch.scatter)
    r.call("scatter", [t(3, 4), 1, index([[2], [0], [3]]), 1.5], torch.scatter)
    r.call("scatter_", [t(3, 4), 0, index(rows), t(1, 4)], lambda x, d, i, s: x.scatter_(d, i, s), in_place=True)
    for args in ([t(3, 4), 0, idx(3, 5, 4), t(5, 4)], [t(3, 4), -1, idx(4, 2, 3), const(t(3, 3))]):
        r.call("scatterAdd", args, torch.scatter_add)
        r.call("scatterAdd_", args, lambda x, d, i, s: x.scatter_add_(d, i, s), in_place=True)
    for args in ([t(4, 3), 0, idx(4, 6)], [t(2, 4), -1, idx(4, 3)], [t(3), 0, idx(3, 0)], [t(3, 2), 0, idx(3)]):
        r.call("indexSelect", args, torch.index_select)
    r.call("indexAdd", [t(4, 3), 0, idx(4, 6), t(6, 3)], torch.index_add)
    r.call("indexAdd", [t(2, 4), -1, idx(4, 3), t(2, 3), {"alpha": -0.5}], lambda x, d, i, s, o: torch.index_add(x, d, i, s, alpha=-0.5))
    r.call("indexCopy", [t(4, 3), 0, index([2, 0]), t(2, 3)], torch.index_copy)
    r.call("indexFill", [t(4, 3), 0, idx(4, 2), 1.5], torch.index_fill)
    r.call("indexFill", [t(2, 4), -1, idx(4, 3), t()], lambda x, d, i, s: torch.index_fill(x, d, i, s))
    for name, args in (("indexAdd_", [t(4, 3), 0, idx(4, 6), t(6, 3)]), ("indexCopy_", [t(4, 3), 0, index([2, 0]), t(2, 3)]), ("indexFill_", [t(4, 3), 0, idx(4, 2), 1.5])):
        r.call(name, args, lambda x, *a, n={"indexAdd_": "index_add_", "indexCopy_": "index_copy_", "indexFill_": "index_fill_"}[name]: getattr(x, n)(*a), in_place=True)
    for args in ([t(4, 3), idx(4, 2, 5)], [t(4, 3), idx(4)], [t(4, 3), idx(4, 0)]):
        r.call("embedding", args, lambda w, i: F.embedding(i, w))
    r.call("embedding", [t(4, 3), index([[1, 2, 1], [0, 3, 1]]), {"paddingIdx": -3}], lambda w, i, o: F.embedding(i, w, -3))
    r.call("embedding", [t(4, 3), index([3, 2, 1, 1, 0, 3, 1]), {"scaleGradByFreq": True, "paddingIdx": 3}], lambda w, i, o: F.embedding(i, w, 3, scale_grad_by_freq=True))
    r.call("take", [t(3, 4), idx(12, 2, 3)], torch.take)
    r.call("take", [t(3, 4), index([-1, 0, -12, 5])], torch.take, label="negative")
    for args in ([t(3, 4), idx(4, 3, 2), 1], [t(3, 1), idx(3, 2, 4), 0], [t(3, 4), idx(12, 5)]):
        r.call("takeAlongDim", args, torch.take_along_dim)


def windows(r):
    for args in ([t(2, 3), 0, 1], [t(2, 3, 4), -2, -1]):
        r.call("select", args, torch.select)
    for args, range_ in (([t(5, 2), 0, 1, 4], slice(1, 4)), ([t(7), 0, 1, None, 2], slice(1, None, 2)), ([t(4), 0, 3, 1], slice(3, 1)), ([t(4), 0, -100, 100, 3], slice(-100, 100, 3))):
        r.call("slice", args, lambda x, *a, range_=range_: x[range_])
    r.call("slice", [t(2, 7), 1, None, None, -1], lambda x, *a: x.flip(1))
    r.call("slice", [t(7), 0, -2, 0, -3], lambda x, *a: x[[5, 2]])
    for args in ([t(5, 2), 0, 1, 3], [t(2, 4), -1, -2, 2], [t(3), 0, 3, 0]):
        r.call("narrow", args, torch.narrow)


def indexing(r):
    read = lambda x, *list_: x[items(list_)]
    for args in ([t(3, 4), 1], [t(3, 4), "::2", -1], [t(3, 4), [2, 0, -1]], [t(2, 3, 4), ":", [0, 2], [1, 3]], [t(2, 3, 4), [0, 1], ":", [1, 3]],
                 [t(3, 4), idx(3, 2, 2)], [t(2, 3, 4), idx(2, 2, 1), "1:", idx(4, 3)], [t(3, 4), mask(3, 4)], [t(2, 3, 4), 0, mask(3), "::2"],
                 [t(3, 4), idx(3)], [t(3, 4)], [t(), None], [t(3, 4), "...", None, 0], [t(2, 3, 4), {"start": 1, "stop": None, "step": None}, "...", "1:3"]):  # fmt: skip
        r.call("index", args, read)

    def write(x, list_, value, o={}):
        y = x.clone()
        if o.get("accumulate"):
            # Read and added to itself position by position: PyTorch's own index_put_ takes no ranges.
            flat = torch.arange(x.numel()).reshape(x.shape)[items(list_)]
            source = (value if isinstance(value, torch.Tensor) else torch.tensor(value, dtype=x.dtype)).expand(flat.shape)
            return torch.index_put(y.reshape(-1), (flat.reshape(-1),), source.reshape(-1), True).reshape(x.shape)
        y[items(list_)] = value
        return y

    puts = [[t(3, 4), [1, "1:3"], t(2)], [t(3, 4), [[2, 0]], t(2, 4)], [t(2, 3, 4), [[0, 1], ":", [1, 3]], t(2, 3)], [t(2, 3, 4), [":", [0, 2], [1, 3]], 1.5],
            [t(3, 4), [mask(3, 4)], t()], [t(3, 4), ["...", 0], t(3)]]  # fmt: skip
    for args in puts:
        for name in ("indexPut", "indexPut_", "setItem_"):
            r.call(name, args, write, in_place=name.endswith("_"))
    for args in ([t(3, 4), [idx(3, 5)], t(5, 4), {"accumulate": True}], [t(3, 4), [0], t(4), {"accumulate": True}], [t(3, 4), [[1, 1, 2]], 2.5, {"accumulate": True}]):
        r.call("indexPut", args, write)
        r.call("indexPut_", args, write, in_place=True)


def filling(r):
    for args in ([t(2, 3), mask(2, 3), 1.5], [t(2, 3), mask(3), t()], [t(2, 3), mask(2, 1), -7], [t(3), mask(2, 3), 1]):
        r.call("maskedFill", args, torch.masked_fill)
    r.call("maskedFill", [t(3), whole([True, False, True], "bool"), -INF], torch.masked_fill, label="infinite")
    for args in ([t(2, 3), mask(2, 3), 1.5], [t(2, 3), mask(3), t()]):
        r.call("maskedFill_", args, lambda x, m, n: x.masked_fill_(m, n), in_place=True)
    for args in ([t(2, 3), t(2, 3)], [t(2, 3), t(3)], [t(2, 3), t(2, 1)]):
        r.call("copy_", args, lambda x, y: x.copy_(y), in_place=True)
    r.call("copy_", [t(3), whole([1, 2, 3], "int32")], lambda x, y: x.copy_(y), in_place=True, label="converted")
    r.call("fill_", [t(2, 3), 1.5], lambda x, n: x.fill_(n), in_place=True)
    r.call("fill_", [t(2, 3), t()], lambda x, n: x.fill_(n), in_place=True)
    r.call("zero_", [t(2, 3)], lambda x: x.zero_(), in_place=True)
    for name in ("maskedSelect", "maskedSelectSync"):
        for args in ([t(3, 4), mask(3, 4)], [t(3, 4), mask(4)], [t(3, 1), mask(2)]):
            r.call(name, args, torch.masked_select)
    for name in ("nonzero", "nonzeroSync"):
        for args in ([mask(3, 4)], [v([[0.0, 1.0], [NAN, -0.0]])], [mask(0, 3)], [mask(5)]):
            r.call(name, args, torch.nonzero, grad=False)


def order(r):
    stable = lambda x, d=-1, o={}: torch.sort(x, dim=d, descending=o.get("descending", False), stable=True)
    ties = v([[2.0, 1.0, 2.0, NAN, 1.0], [0.0, -0.0, INF, -INF, 0.0]])
    for args in ([t(2, 5)], [t(5, 2), 0], [t(2, 4, 2), 1, {"descending": True}], [t(), 0], [t(0, 3), 0], [ties], [ties, -1, {"descending": True}]):
        r.call("sort", args, stable)
        r.call("argsort", args, lambda *a: stable(*a)[1], grad=False)
    r.call("sort", [whole([3, 1, 2, 1], "int32")], stable, dtypes=("int32",))
    r.call("topk", [t(2, 5), 3], torch.topk)
    r.call("topk", [t(5, 2), 2, 0, {"largest": False}], lambda x, k, d, o: torch.topk(x, k, d, largest=False))
    r.call("topk", [v([1.0, NAN, 3.0, INF]), 2], torch.topk, grad=False, label="special")
    r.call("kthvalue", [t(2, 5), 2], torch.kthvalue)
    r.call("kthvalue", [t(4, 2), 1, 0, {"keepdim": True}], lambda x, k, d, o: torch.kthvalue(x, k, d, keepdim=True))
    r.call("median", [t(2, 5)], torch.median)
    r.call("median", [t(3, 4)], torch.median)
    r.call("median", [t(4, 3), 0], torch.median)
    r.call("median", [t(2, 5), -1, {"keepdim": True}], lambda x, d, o: torch.median(x, d, keepdim=True))
    r.call("median", [v([1.0, NAN, 3.0])], torch.median, grad=False, label="special")
    sequence, rows = v([-1.0, 0.0, 0.0, 1.5]), v([[-2.0, -1.0, 0.0], [0.5, 1.5, 9.0]])
    for o in ({}, {"right": True}):
        r.call("searchsorted", [sequence, rows, o], lambda s, x, o: torch.searchsorted(s, x, **o), grad=False)
        r.call("bucketize", [rows, sequence, o], lambda x, s, o: torch.bucketize(x, s, **o), grad=False)
    r.call("searchsorted", [v([[0.0, 1.0], [2.0, 3.0]]), v([[0.5, 1.0], [2.5, 9.0]])], torch.searchsorted, grad=False, label="rows")


def record(r):
    for group in (lookups, windows, indexing, filling, order):
        group(r)
