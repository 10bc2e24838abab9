"""Golden calls of the element-wise operations: each on ordinary, broadcast, special, integer and bool operands."""
import torch
import torch.nn.functional as F

from golden_calls import const, t, v, whole

INF, NAN = float("inf"), float("nan")
SPECIAL = [NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 20.0, -20.0, 1e-6, 90.0, -110.0]
FEW = [NAN, INF, -INF, 0.0, -0.0, 1.0, -2.5, 3.0]
PAIRS = ([a for a in FEW for _ in FEW], [b for _ in FEW for b in FEW])

# name: (function, low, high, points at which the gradient is a matter of definition)
UNARY = {
    "neg": (torch.neg, -2, 2, []), "abs": (torch.abs, -2, 2, [0.0]), "sign": (torch.sign, -2, 2, [0.0]),
    "square": (torch.square, -2, 2, []), "reciprocal": (torch.reciprocal, 0.5, 2, []),
    "sqrt": (torch.sqrt, 0.2, 3, [0.0]), "rsqrt": (torch.rsqrt, 0.2, 3, []), "exp": (torch.exp, -2, 2, []),
    "exp2": (torch.exp2, -2, 2, []), "expm1": (torch.expm1, -2, 2, []), "log": (torch.log, 0.2, 3, [0.0]),
    "log1p": (torch.log1p, -0.8, 2, []), "log2": (torch.log2, 0.2, 3, []), "log10": (torch.log10, 0.2, 3, []),
    "sin": (torch.sin, -3, 3, []), "cos": (torch.cos, -3, 3, []), "tan": (torch.tan, -1.2, 1.2, []),
    "asin": (torch.asin, -0.9, 0.9, []), "acos": (torch.acos, -0.9, 0.9, []), "atan": (torch.atan, -2, 2, []),
    "sinh": (torch.sinh, -2, 2, []), "cosh": (torch.cosh, -2, 2, []), "tanh": (torch.tanh, -2, 2, [9.5, -9.5]),
    "asinh": (torch.asinh, -2, 2, []), "acosh": (torch.acosh, 1.1, 3, []), "atanh": (torch.atanh, -0.9, 0.9, []),
    "floor": (torch.floor, -3, 3, []), "ceil": (torch.ceil, -3, 3, []), "round": (torch.round, -3, 3, []),
    "trunc": (torch.trunc, -3, 3, []), "frac": (torch.frac, -3, 3, []), "sigmoid": (torch.sigmoid, -2, 2, [40.0, -40.0]),
    "logSigmoid": (F.logsigmoid, -2, 2, [50.0, -50.0]), "logit": (torch.logit, 0.1, 0.9, []),
    "relu": (torch.relu, -2, 2, [0.0]), "relu6": (F.relu6, -2, 8, [0.0, 6.0]), "hardtanh": (F.hardtanh, -2, 2, [1.0, -1.0]),
    "hardsigmoid": (lambda x: F.relu6((x if x.is_floating_point() else x.float()) + 3) / 6, -4, 4, [3.0, -3.0]), "hardswish": (F.hardswish, -4, 4, []), "mish": (F.mish, -2, 2, []),
    "softsign": (lambda x: F.softsign(x if x.is_floating_point() else x.float()), -2, 2, []), "selu": (F.selu, -2, 2, [0.0]), "erf": (torch.erf, -2, 2, []),
    "erfc": (torch.erfc, -2, 2, []), "gelu": (F.gelu, -2, 2, []), "silu": (F.silu, -2, 2, []),
    "leakyRelu": (F.leaky_relu, -2, 2, [0.0]), "elu": (F.elu, -2, 2, [0.0]), "celu": (F.celu, -2, 2, [0.0]),
    "geluTanh": (lambda x: F.gelu(x, approximate="tanh"), -2, 2, []), "softplus": (F.softplus, -2, 2, [25.0, -25.0]), "isnan": (torch.isnan, -2, 2, None), "isinf": (torch.isinf, -2, 2, None),
    "isfinite": (torch.isfinite, -2, 2, None), "logicalNot": (torch.logical_not, -2, 2, None), "nanToNum": (torch.nan_to_num, -2, 2, []),
    "deg2rad": (torch.deg2rad, -90, 90, []), "rad2deg": (torch.rad2deg, -2, 2, []), "sinc": (torch.sinc, -2, 2, []),
    "positive": (torch.positive, -2, 2, []), "signbit": (torch.signbit, -2, 2, None), "tanhshrink": (F.tanhshrink, -2, 2, []),
    "softshrink": (F.softshrink, -2, 2, []), "hardshrink": (F.hardshrink, -2, 2, []), "lgamma": (torch.lgamma, 0.5, 3, []),
    "digamma": (torch.digamma, 0.5, 3, []), "erfinv": (torch.erfinv, -0.9, 0.9, []),
}  # fmt: skip
BINARY = {
    "add": (torch.add, (-2, 2), (-2, 2)), "sub": (torch.sub, (-2, 2), (-2, 2)), "mul": (torch.mul, (-2, 2), (-2, 2)),
    "div": (torch.div, (-2, 2), (0.5, 2)), "floorDivide": (lambda x, y: torch.div(x, y, rounding_mode="floor"), (-4, 4), (0.5, 2)),
    "remainder": (torch.remainder, (-4, 4), (0.6, 2)), "fmod": (torch.fmod, (-4, 4), (0.6, 2)),
    "pow": (torch.pow, (0.5, 2), (-2, 2)), "maximum": (torch.maximum, (-2, 2), (-2, 2)),
    "minimum": (torch.minimum, (-2, 2), (-2, 2)), "atan2": (torch.atan2, (-2, 2), (-2, 2)), "hypot": (torch.hypot, (0.5, 2), (0.5, 2)),
    "logaddexp": (torch.logaddexp, (-2, 2), (-2, 2)), "eq": (torch.eq, (-2, 2), (-2, 2)), "ne": (torch.ne, (-2, 2), (-2, 2)),
    "lt": (torch.lt, (-2, 2), (-2, 2)), "le": (torch.le, (-2, 2), (-2, 2)), "gt": (torch.gt, (-2, 2), (-2, 2)),
    "ge": (torch.ge, (-2, 2), (-2, 2)), "logicalAnd": (torch.logical_and, (-2, 2), (-2, 2)),
    "logicalOr": (torch.logical_or, (-2, 2), (-2, 2)), "logicalXor": (torch.logical_xor, (-2, 2), (-2, 2)),
    "squaredError": (lambda x, y: F.mse_loss(x, y, reduction="none"), (-2, 2), (-2, 2)),
    "absoluteError": (lambda x, y: F.l1_loss(x, y, reduction="none"), (-2, 2), (-2, 2)),
    "huberError": (lambda x, y: F.huber_loss(x, y, reduction="none"), (-2, 2), (-2, 2)),
    "smoothL1Error": (lambda x, y: F.smooth_l1_loss(x, y, reduction="none"), (-2, 2), (-2, 2)),
    "fmax": (torch.fmax, (-2, 2), (-2, 2)), "fmin": (torch.fmin, (-2, 2), (-2, 2)), "copysign": (torch.copysign, (-2, 2), (-2, 2)),
    "klError": (lambda x, y: F.kl_div(x, y, reduction="none"), (-2, 0), (0.1, 1)),
    "klLogError": (lambda x, y: F.kl_div(x, y, reduction="none", log_target=True), (-2, 2), (-2, 2)),
    "leakyBy": (lambda x, w: torch.where(x > 0, x, x * w), (-2, 2), (-2, 2)),
    "xlogy": (torch.xlogy, (-2, 2), (0.5, 2)), "logaddexp2": (torch.logaddexp2, (-2, 2), (-2, 2)), "nextafter": (torch.nextafter, (-2, 2), (-2, 2)),
    "trueDivide": (torch.true_divide, (-2, 2), (0.5, 2)), "heaviside": (torch.heaviside, (-2, 2), (-2, 2)),
}  # fmt: skip
BITS = {"bitwiseAnd": torch.bitwise_and, "bitwiseOr": torch.bitwise_or, "bitwiseXor": torch.bitwise_xor}
LOSSES = ("squaredError", "absoluteError", "huberError", "smoothL1Error", "klError", "klLogError")
LISTS = {"int32": [-7, -2, -1, 0, 1, 2, 5], "int64": [-7, -2, -1, 0, 1, 2, 5], "uint8": [0, 1, 2, 5, 7, 200, 255], "bool": [0, 1, 1, 0, 1, 0, 1]}


def attempt(r, *args, **options):
    """Records the call if PyTorch defines it."""
    try:
        r.call(*args, **options)
    except (RuntimeError, ZeroDivisionError, TypeError):
        pass


def unary(r, known):
    for name, (f, lo, hi, points) in UNARY.items():
        if name not in known:
            continue
        grad = points is not None
        for shape in ((2, 3), (), (0, 2), (7,)):
            r.call(name, [t(*shape, lo=lo, hi=hi)], f, grad=grad)
        # 1.13's softshrink turns NaN into 0; later versions, and Rondo, hand it on.
        values = [NAN, INF, -INF, 1.0] if name == "nanToNum" else SPECIAL[1:] if name == "softshrink" else SPECIAL
        r.call(name, [v(values)], f, grad=False, label="special")
        if points:
            r.call(name, [v(points)], f, label="by definition")
        for dtype, values in LISTS.items():
            if (name, dtype) == ("softsign", "uint8"):
                # PyTorch adds 1 to 255 in uint8.
                continue
            attempt(r, name, [whole(values, dtype)], f, grad=False, dtypes=(dtype,), label="whole")
    for dtype, values in LISTS.items():
        r.call("bitwiseNot", [whole(values, dtype)], torch.bitwise_not, dtypes=(dtype,))


def binary(r, known):
    for name, (f, a, b) in BINARY.items():
        if name not in known:
            continue
        x, y = (lambda *s: t(*s, lo=a[0], hi=a[1])), (lambda *s: t(*s, lo=b[0], hi=b[1]))
        shapes = [((2, 3), (2, 3)), ((2, 1), (3,)), ((), (2,)), ((3,), ()), ((0, 2), (2,)), ((2, 1, 2), (3, 1))]
        for p, q in shapes[:2] if name in LOSSES else shapes:
            r.call(name, [x(*p), y(*q)], f)
        r.call(name, [v(PAIRS[0]), v(PAIRS[1])], f, grad=False, label="special")
        if name in LOSSES:
            continue
        attempt(r, name, [x(2, 2), 1.25], lambda x, n, f=f: f(x, torch.tensor(n, dtype=x.dtype)), label="number second")
        attempt(r, name, [1.25, y(3)], lambda n, y, f=f: f(torch.tensor(n, dtype=y.dtype), y), label="number first")
        for dtype, values in LISTS.items():
            rows = ([p for p in values for _ in values], [q for _ in values for q in values])
            if name in ("floorDivide", "remainder", "fmod"):
                pairs = [(p, q) for p, q in zip(*rows) if q != 0]
                rows = ([p for p, _ in pairs], [q for _, q in pairs])
            attempt(r, name, [whole(rows[0], dtype), whole(rows[1], dtype)], f, grad=False, dtypes=(dtype,), label="whole")
    for name, f in BITS.items():
        for dtype, values in LISTS.items():
            r.call(name, [whole(values, dtype), whole(values[::-1], dtype)], f, dtypes=(dtype,))


def definitions(r):
    """Gradients at ties and corners, where they are what PyTorch says they are."""
    for name in ("maximum", "minimum"):
        r.call(name, [v([1.0, 2.0, -0.5]), v([1.0, 1.0, -0.5])], BINARY[name][0], label="tie")
    r.call("pow", [v([0.0, 0.0, 0.0, 2.0, -2.0, -1.5]), v([0.0, 2.0, 1.0, 0.0, 2.0, 3.0])], torch.pow, label="corners")
    r.call("atan2", [v([0.0, 1.0, -1.0]), v([1.0, 0.0, 0.0])], torch.atan2, label="axes")
    r.call("hypot", [v([3e19, 0.0, 3.0]), v([4e19, 2.0, 4.0])], torch.hypot, label="large")
    r.call("logaddexp", [v([500.0, -500.0, 1.0]), v([500.0, 0.0, 1.0])], torch.logaddexp, label="large")
    r.call("floorDivide", [v([1.0, -1.0, 6.0, 0.3, -0.0, 1.0]), v([0.1, 0.1, 0.1, 0.1, 3.0, -0.1])], BINARY["floorDivide"][0], label="by way of the remainder")
    r.call("remainder", [v([5.5, -5.5, 5.5, -5.5]), v([2.0, 2.0, -2.0, -2.0])], torch.remainder, label="signs")
    r.call("fmod", [v([5.5, -5.5, 5.5, -5.5]), v([2.0, 2.0, -2.0, -2.0])], torch.fmod, label="signs")
    r.call("huberError", [v([0.0, 1.0, 3.0]), v([0.0, 0.0, 0.0])], BINARY["huberError"][0], label="corners")
    r.call("smoothL1Error", [v([0.0, 1.0, 3.0]), v([0.0, 0.0, 0.0])], BINARY["smoothL1Error"][0], label="corners")
    r.call("absoluteError", [v([0.0, 1.0]), v([0.0, 2.0])], BINARY["absoluteError"][0], label="corners")


def options(r):
    """Every parameter away from its default."""
    for name, f in (("add", torch.add), ("sub", torch.sub)):
        r.call(name, [t(2, 3), t(3), {"alpha": -1.5}], lambda x, y, o, f=f: f(x, y, alpha=o["alpha"]))
        r.call(name, [whole([1, 2, 3], "int32"), whole([4, 5, 6], "int32"), {"alpha": 2}], lambda x, y, o, f=f: f(x, y, alpha=2), dtypes=("int32",))
    r.call("leakyRelu", [t(2, 3), {"negativeSlope": 0.3}], lambda x, o: F.leaky_relu(x, 0.3))
    r.call("elu", [t(2, 3), {"alpha": 1.7}], lambda x, o: F.elu(x, 1.7))
    r.call("celu", [t(2, 3), {"alpha": 1.7}], lambda x, o: torch.where(x > 0, x, 1.7 * torch.expm1(x / 1.7)))  # its own rounds 1 / alpha to float32
    r.call("hardtanh", [t(2, 3), {"min": -0.3, "max": 1.2}], lambda x, o: F.hardtanh(x, -0.3, 1.2))
    r.call("softshrink", [t(2, 3), {"lambda": 0.9}], lambda x, o: F.softshrink(x, 0.9))
    r.call("hardshrink", [t(2, 3), {"lambda": 0.9}], lambda x, o: F.hardshrink(x, 0.9))
    for name, f in (("softshrink", F.softshrink), ("hardshrink", F.hardshrink)):
        r.call(name, [v([0.5, -0.5, 0.0])], f, label="borders")
    r.call("threshold", [t(2, 3), {"threshold": 0.1, "value": -3}], lambda x, o: F.threshold(x, 0.1, -3))
    r.call("threshold", [v([0.1, 0.0, NAN, INF]), {"threshold": 0.0, "value": 2}], lambda x, o: F.threshold(x, 0, 2), label="borders")
    r.call("hardswish", [v([3.0, -3.0])], F.hardswish, label="borders")
    r.call("softplus", [t(2, 3), {"beta": 2.5, "threshold": 3}], lambda x, o: F.softplus(x, 2.5, 3))
    limits = [({"min": -0.5}, {"min": -0.5}), ({"max": 0.5}, {"max": 0.5}), ({"min": -0.5, "max": 0.75}, {"min": -0.5, "max": 0.75}), ({"min": 1.0, "max": -1.0}, {"min": 1.0, "max": -1.0})]
    for own, theirs in limits:
        r.call("clamp", [t(2, 3), own], lambda x, o, k=theirs: torch.clamp(x, **k))
        r.call("clamp", [v([-0.5, 0.5, 0.75, NAN, INF, -INF]), own], lambda x, o, k=theirs: torch.clamp(x, **k), label="borders")
    for dtype in ("int32", "int64", "uint8"):
        r.call("clamp", [whole([0, 3, 9], dtype), {"min": 1, "max": 5}], lambda x, o: torch.clamp(x, 1, 5), dtypes=(dtype,))
    for own, theirs in limits[:2]:
        r.call("clamp", [whole([-3, 0, 9], "int32"), {k: int(2 * n) for k, n in own.items()}], lambda x, o: torch.clamp(x, **o), dtypes=("int32",), label="one limit")
    r.call("acosh", [v([-1e19, -3.0, 0.5, 1.0, 12345.678, 1e10])], torch.acosh, grad=False, label="ends")
    r.call("clamp", [whole([0, 3, 9], "int32"), {"min": 1.5}], lambda x, o: torch.clamp(x, min=1.5), dtypes=("int32",), label="fraction")
    r.call("nanToNum", [v([NAN, INF, -INF, 1.0]), {"nan": 5.0, "posinf": 6.0, "neginf": -7.0}], lambda x, o: torch.nan_to_num(x, 5.0, 6.0, -7.0))
    for delta in (0.5, 2.0):
        r.call("huberError", [t(2, 3), t(2, 3), {"delta": delta}], lambda x, y, o, d=delta: F.huber_loss(x, y, reduction="none", delta=d))
        r.call("smoothL1Error", [t(2, 3), t(2, 3), {"beta": delta}], lambda x, y, o, d=delta: F.smooth_l1_loss(x, y, reduction="none", beta=d))


def ternary(r, known):
    from golden_calls import mask

    r.call("where", [mask(2, 3), t(2, 3), t(2, 3)], torch.where)
    r.call("where", [mask(2, 1), t(3), t()], torch.where)
    r.call("where", [mask(3), t(3), 1.5], lambda m, x, n: torch.where(m, x, torch.tensor(n, dtype=x.dtype)))
    r.call("where", [mask(3), whole([1, 2, 3], "int32"), whole([4, 5, 6], "int32")], torch.where, dtypes=("int32",))
    r.call("lerp", [t(2, 3), t(2, 3), t(2, 3)], torch.lerp)
    r.call("lerp", [t(2, 1), t(3), 0.3], lambda x, y, w: torch.lerp(x, y, w))
    r.call("lerp", [v([1.0, 1e8, 1.0]), v([2.0, 1.0, 3.0]), v([1.0, 1.0, 0.5])], torch.lerp, label="ends")
    for name, f, y in (("addcmul", torch.addcmul, t(3)), ("addcdiv", torch.addcdiv, t(3))):
        z = t(2, 3, lo=0.5)
        r.call(name, [t(2, 3), y, z], f)
        r.call(name, [t(2, 1), y, z, {"value": -0.7}], lambda x, y, z, o, f=f: f(x, y, z, value=-0.7))
    p, y = t(2, 3, lo=0.05, hi=0.95), t(2, 3, lo=0.0, hi=1.0)
    r.call("bceError", [p, y], lambda p, y: F.binary_cross_entropy(p, y, reduction="none"))
    r.call("bceError", [v([0.0, 1.0, 0.0, 1.0]), whole([0.0, 0.0, 1.0, 1.0], "float32")], lambda p, y: F.binary_cross_entropy(p, y, reduction="none"), dtypes=("float32",), label="certain")
    logits = lambda x, y, z: F.binary_cross_entropy_with_logits(x, y, reduction="none", pos_weight=z)
    r.call("bceLogitsError", [t(2, 3), const(t(2, 3, lo=0.0, hi=1.0)), const(t(3, lo=0.5))], logits)
    r.call("bceLogitsError", [v([-60.0, 60.0, 0.0]), whole([1.0, 0.0, 1.0], "float32"), whole([1.0, 2.0, 1.0], "float32")], logits, dtypes=("float32",), label="large")


def in_place(r, known):
    """The in-place forms, whose names end in an underscore."""
    for name, torch_name in (("add", "add_"), ("sub", "sub_"), ("mul", "mul_"), ("div", "div_"), ("pow", "pow_")):
        y = t(3, lo=0.5)
        r.call(f"{name}_", [t(2, 3, lo=0.5), y], lambda x, y, n=torch_name: getattr(x, n)(y), in_place=True)
        r.call(f"{name}_", [t(2, 3, lo=0.5), 1.5], lambda x, y, n=torch_name: getattr(x, n)(y), in_place=True)
    for name in ("tanh", "sigmoid", "exp", "sqrt", "neg", "abs", "relu", "square", "reciprocal", "cos"):
        r.call(f"{name}_", [t(2, 3, lo=0.5)], lambda x, n=f"{name}_": getattr(x, n)(), in_place=True)
    r.call("clamp_", [t(2, 3), {"min": -0.5, "max": 0.5}], lambda x, o: x.clamp_(-0.5, 0.5), in_place=True)
    r.call("lerp_", [t(2, 3), t(3), t(3)], lambda x, y, w: x.lerp_(y, w), in_place=True)
    r.call("addcmul_", [t(2, 3), t(3), t(3), {"value": 0.5}], lambda x, y, z, o: x.addcmul_(y, z, value=0.5), in_place=True)
    r.call("addcdiv_", [t(2, 3), t(3), t(3, lo=0.5), {"value": 0.5}], lambda x, y, z, o: x.addcdiv_(y, z, value=0.5), in_place=True)
    r.call("add_", [whole([1, 2], "int32"), whole([3, 4], "int32")], lambda x, y: x.add_(y), in_place=True, dtypes=("int32",))


def record(r, known):
    unary(r, known)
    binary(r, known)
    ternary(r, known)
    definitions(r)
    options(r)
    in_place(r, known)


