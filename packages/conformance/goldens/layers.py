"""PyTorch's other layers, losses and initialisers, for packages/nn/src/goldens/layers.safetensors and layers.json.

Run from the repository's root with Debian's python3-torch (1.13.1):
    /usr/bin/python3 packages/conformance/goldens/layers.py
layers.json lists the calls with their options in our spelling; the file beside it holds their tensors as <case>/<name>:
start_* (as drawn from the seed), w_* (what the run starts from), x* inputs, o_* optional inputs, out*, d_*, dx*, after_*.
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
d = torch.float64


def put(case, **values):
    for name, value in values.items():
        array = value.detach().numpy().copy()
        tensors[f"{case}/{name}"] = array.astype("int32") if array.dtype == "int64" else array


SPELLING = {"fan_in": "fanIn", "fan_out": "fanOut"}


def camel(options):
    def one(name):
        head, *rest = name.split("_")
        return head + "".join(word.capitalize() for word in rest)

    return {one(name): SPELLING.get(value, value) for name, value in options.items()}


# ---- attention that PyTorch has no module of, by its formula


def attend(scores, keys, mask, values):
    if mask is not None:
        scores = scores.masked_fill(mask.unsqueeze(1), float("-inf"))
    weights = scores.softmax(-1)
    return weights @ (keys if values is None else values), weights


class AdditiveAttention(nn.Module):
    def __init__(self, query_dim, key_dim, attention_dim, dtype=None):
        super().__init__()
        self.query_proj = nn.Linear(query_dim, attention_dim, dtype=dtype)
        self.key_proj = nn.Linear(key_dim, attention_dim, bias=False, dtype=dtype)
        self.score_proj = nn.Linear(attention_dim, 1, bias=False, dtype=dtype)

    def forward(self, query, keys, mask=None, values=None):
        several = query if query.ndim == 3 else query.unsqueeze(1)
        sums = self.query_proj(several).unsqueeze(2) + self.key_proj(keys).unsqueeze(1)
        context, weights = attend(self.score_proj(torch.tanh(sums)).squeeze(-1), keys, mask, values)
        return (context, weights) if query.ndim == 3 else (context.squeeze(1), weights.squeeze(1))


class DotProductAttention(nn.Module):
    def __init__(self, query_dim, key_dim, score="dot", dtype=None):
        super().__init__()
        self.score = score
        self.key_proj = nn.Linear(key_dim, query_dim, bias=False, dtype=dtype) if score == "general" else None

    def forward(self, query, keys, mask=None, values=None):
        several = query if query.ndim == 3 else query.unsqueeze(1)
        offered = self.key_proj(keys) if self.key_proj else keys
        scores = several @ offered.transpose(1, 2)
        scores = scores / query.shape[-1] ** 0.5 if self.score == "scaled" else scores
        context, weights = attend(scores, keys, mask, values)
        return (context, weights) if query.ndim == 3 else (context.squeeze(1), weights.squeeze(1))


OWN = {"AdditiveAttention": AdditiveAttention, "DotProductAttention": DotProductAttention}
WITH_DTYPE = {"Embedding", "LayerNorm", "BatchNorm1d", "InstanceNorm1d", "GroupNorm", "Conv1d", "MultiheadAttention", "PReLU",
              "AdditiveAttention", "DotProductAttention"}  # fmt: skip

# ---- modules: start values from a seed, then outputs, gradients and state of a run from other values

modules = []


def run(kind, args, options, *inputs, call=None, training=True, dtype=d, seed=None, fixed=(), steps=1):
    """`fixed` names the inputs without a gradient; `call` holds optional inputs (tensors) and options of forward."""
    case = f"module{len(modules)}"
    seed = len(modules) + 1 if seed is None else seed
    torch.manual_seed(seed)
    call = call or {}
    build = OWN.get(kind) or getattr(nn, kind)
    extra = {"dtype": dtype} if kind in WITH_DTYPE else {}
    layer = build(*args, **options, **extra).train(training)
    put(case, **{f"start_{k}": v for k, v in layer.state_dict().items()}, next=torch.rand(3))
    with torch.no_grad():
        for p in [*layer.parameters(), *(b for n, b in layer.named_buffers() if "running" in n)]:
            p.copy_(torch.rand(p.shape, dtype=p.dtype) * 2 - (0 if p.shape == () else 0.5))
        for name, b in layer.named_buffers():
            if name == "running_var":
                b.abs_().add_(0.2)
    put(case, **{f"w_{k}": v for k, v in layer.state_dict().items()})
    leaves = []
    for i, x in enumerate(inputs):
        grad = x.is_floating_point() and i not in fixed
        leaves.append(x.detach().clone().requires_grad_() if grad else x)
        put(case, **{f"x{i}": x})
    put(case, **{f"o_{k}": v for k, v in camel(call).items() if isinstance(v, torch.Tensor)})
    torch.manual_seed(seed + 100)
    total = 0
    for _ in range(steps):
        own = [x.clone() if options.get("inplace") else x for x in leaves]
        result = layer(*own, **call)
    outs = [out for out in (result if isinstance(result, tuple) else (result,)) if out is not None]
    for i, out in enumerate(outs):
        put(case, **{f"out{i}": out})
        if out.is_floating_point() and out.requires_grad:
            total = total + (out * torch.linspace(-0.5, 2, out.numel(), dtype=dtype).reshape(out.shape)).sum()
    total.backward()
    for i, x in enumerate(leaves):
        if x.requires_grad:
            put(case, **{f"dx{i}": x.grad if x.grad is not None else torch.zeros_like(x)})
    put(case, **{f"d_{k}": p.grad for k, p in layer.named_parameters() if p.grad is not None})
    put(case, **{f"after_{k}": v for k, v in layer.state_dict().items()})
    named = {k: v for k, v in options.items() if not isinstance(v, torch.Tensor)}
    put(case, **{f"option_{k}": v for k, v in camel(options).items() if isinstance(v, torch.Tensor)})
    plain = {k: v for k, v in call.items() if not isinstance(v, torch.Tensor)}
    modules.append({"case": case, "kind": kind, "args": args, "options": camel(named), "call": camel(plain), "steps": steps,
                    "training": training, "dtype": str(dtype)[6:] if extra else None, "seed": seed, "inputs": len(inputs),
                    "keys": list(layer.state_dict()), "repr": None if kind in OWN or "Loss" in kind else repr(layer).replace("NonDynamicallyQuantizable", "")})  # fmt: skip


torch.manual_seed(0)
rand, randn = torch.rand, torch.randn


def ints(high, *shape):
    return torch.randint(0, high, shape)


def embeddings():
    words = torch.tensor([[1, 2, 1], [0, 3, 1]])
    run("Embedding", [4, 3], {}, words)
    run("Embedding", [5, 4], {"padding_idx": 1}, words)
    run("Embedding", [5, 4], {"padding_idx": -1}, torch.tensor(4))
    run("Embedding", [4, 3], {"max_norm": 0.5}, words)
    run("Embedding", [4, 3], {"max_norm": 0.75, "norm_type": 1.0, "padding_idx": 0}, words)
    run("Embedding", [4, 3], {"scale_grad_by_freq": True, "padding_idx": 2}, words)
    run("Embedding", [4, 3], {}, words[:, :0])
    run("Embedding", [6, 2], {}, words, dtype=torch.float32)


def norms():
    x = randn(4, 3, 5, dtype=d)
    run("LayerNorm", [5], {}, x)
    run("LayerNorm", [[3, 5]], {"eps": 0.1}, x)
    run("LayerNorm", [5], {"elementwise_affine": False}, x[0])
    run("LayerNorm", [5], {}, x.float(), dtype=torch.float32)
    for training in (True, False):
        for options in ({}, {"momentum": None}, {"momentum": 0.3, "eps": 0.01}, {"affine": False}, {"track_running_stats": False}):
            run("BatchNorm1d", [3], options, x, training=training, steps=2)
        run("BatchNorm1d", [3], {}, x[:, :, 0], training=training)
        run("InstanceNorm1d", [3], {}, x, training=training)
        run("InstanceNorm1d", [3], {"affine": True, "track_running_stats": True}, x, training=training, steps=2)
    run("BatchNorm1d", [3], {}, x.float(), dtype=torch.float32)
    run("InstanceNorm1d", [3], {}, x[0])
    run("GroupNorm", [2, 4], {}, randn(3, 4, 5, dtype=d))
    run("GroupNorm", [1, 4], {"eps": 0.1}, randn(3, 4, dtype=d))
    run("GroupNorm", [4, 4], {"affine": False}, randn(2, 4, 3, 2, dtype=d))


def convolutions():
    x = randn(2, 4, 9, dtype=d)
    for options in (
        {}, {"stride": 2, "padding": 1}, {"padding": 2, "dilation": 2}, {"groups": 2, "bias": False}, {"groups": 4, "padding": 1},
        {"padding": "same"}, {"padding": "same", "dilation": 3}, {"padding": "valid"},
        {"padding": 2, "padding_mode": "reflect"}, {"padding": 2, "padding_mode": "replicate", "stride": 3},
        {"padding": 2, "padding_mode": "circular", "dilation": 2}, {"padding": "same", "padding_mode": "circular"},
    ):  # fmt: skip
        run("Conv1d", [4, 8 if options.get("groups") == 4 else 6, 3], options, x)
    run("Conv1d", [4, 2, 4], {"padding": "same"}, x)
    run("Conv1d", [4, 2, 4], {"padding": "same", "padding_mode": "reflect"}, x)
    run("Conv1d", [4, 3, 1], {}, x[0])
    run("Conv1d", [4, 3, 9], {}, x[:1])
    run("Conv1d", [4, 3, 3], {"padding": 1}, x.float(), dtype=torch.float32)


def pools():
    x = randn(2, 3, 10, dtype=d)
    ties = torch.tensor([[1.0, 1.0, 0.0, 2.0, 2.0, 2.0, -1.0]], dtype=d)
    for options in ({}, {"stride": 1}, {"padding": 1}, {"ceil_mode": True}, {"stride": 3, "ceil_mode": True, "padding": 1}):
        for kernel in (2, 3):
            run("MaxPool1d", [kernel], options, x)
            run("MaxPool1d", [kernel], {**options, "return_indices": True}, ties)
            run("AvgPool1d", [kernel], options, x)
            run("AvgPool1d", [kernel], {**options, "count_include_pad": False}, x[0])
    run("MaxPool1d", [3], {"dilation": 2}, x)
    run("MaxPool1d", [3], {"dilation": 3, "padding": 1, "stride": 1, "return_indices": True}, x)
    run("MaxPool1d", [4], {"stride": 4, "ceil_mode": True, "dilation": 2, "padding": 2}, x)
    for size in (1, 3, 5, 10, 12):
        run("AdaptiveAvgPool1d", [size], {}, x if size != 3 else x[0])


def attention():
    q, k, v = randn(4, 2, 6, dtype=d), randn(5, 2, 6, dtype=d), randn(5, 2, 6, dtype=d)
    hidden = torch.zeros(2, 5, dtype=torch.bool)
    hidden[0, 3:], hidden[1, 1] = True, True
    causal = torch.ones(4, 5).triu(1).bool()
    added = randn(4, 5, dtype=d)
    each = randn(6, 4, 5, dtype=d)
    run("MultiheadAttention", [6, 2], {}, q, k, v)
    run("MultiheadAttention", [6, 1], {"bias": False}, q, k, v, call={"need_weights": False})
    run("MultiheadAttention", [6, 3], {}, q, k, v, call={"key_padding_mask": hidden, "average_attn_weights": False})
    run("MultiheadAttention", [6, 3], {}, q, k, v, call={"key_padding_mask": hidden, "attn_mask": causal})
    run("MultiheadAttention", [6, 3], {}, q, k, v, call={"attn_mask": added})
    run("MultiheadAttention", [6, 3], {}, q, k, v, call={"attn_mask": each, "key_padding_mask": hidden})
    run("MultiheadAttention", [6, 2], {"add_bias_kv": True}, q, k, v, call={"attn_mask": added, "key_padding_mask": hidden})
    run("MultiheadAttention", [6, 2], {"add_zero_attn": True}, q, k, v, call={"key_padding_mask": hidden})
    run("MultiheadAttention", [6, 2], {"add_zero_attn": True, "add_bias_kv": True, "bias": False}, q, k, v)
    run("MultiheadAttention", [6, 2], {"kdim": 3, "vdim": 4}, q, k[..., :3], v[..., :4])
    run("MultiheadAttention", [6, 2], {"kdim": 3, "batch_first": True}, q.transpose(0, 1), k[..., :3].transpose(0, 1), v.transpose(0, 1))
    run("MultiheadAttention", [6, 2], {"batch_first": True}, q, q, q, call={"average_attn_weights": False})
    run("MultiheadAttention", [6, 2], {"dropout": 0.4}, q, k, v)
    run("MultiheadAttention", [6, 2], {"dropout": 0.4}, q, k, v, training=False)
    run("MultiheadAttention", [6, 2], {}, q[:, 0], k[:, 0], v[:, 0], call={"key_padding_mask": hidden[0]})
    run("MultiheadAttention", [6, 2], {}, q[:, 0], k[:, 0], v[:, 0], call={"attn_mask": added, "average_attn_weights": False})
    run("MultiheadAttention", [6, 2], {}, q.float(), k.float(), v.float(), dtype=torch.float32)
    query, keys, values = randn(2, 6, dtype=d), randn(2, 5, 4, dtype=d), randn(2, 5, 3, dtype=d)
    several = randn(2, 3, 6, dtype=d)
    run("AdditiveAttention", [6, 4, 7], {}, query, keys)
    run("AdditiveAttention", [6, 4, 7], {}, several, keys, call={"mask": hidden, "values": values})
    wide = randn(2, 5, 6, dtype=d)
    run("DotProductAttention", [6, 6], {}, query, wide, call={"mask": hidden})
    run("DotProductAttention", [6, 6], {"score": "scaled"}, several, wide)
    run("DotProductAttention", [6, 4], {"score": "general"}, several, keys, call={"mask": hidden, "values": values})


def activations():
    x = randn(3, 4, dtype=d) * 3
    x[0, 0], x[0, 1], x[1, 0] = 0, 40, -40
    plain = ("ReLU", "ReLU6", "SELU", "Mish", "Hardsigmoid", "Hardswish", "SiLU")
    for kind in plain + ("Softsign", "Tanhshrink", "LogSigmoid", "Sigmoid", "Tanh"):
        run(kind, [], {}, x.float() if kind == "Hardsigmoid" else x, dtype=torch.float32 if kind == "Hardsigmoid" else d)
    for kind in plain:
        f = torch.float32 if kind == "Hardsigmoid" else d
        run(kind, [], {"inplace": True}, x.to(f), dtype=f)
    run("GELU", [], {}, x)
    run("GELU", [], {"approximate": "tanh"}, x)
    for kind, args in (("LeakyReLU", [0.2]), ("ELU", [1.5]), ("CELU", [0.5]), ("Hardtanh", [-2.0, 0.5]), ("Threshold", [0.5, 20]), ("RReLU", [0.125, 0.25])):
        run(kind, args, {}, x)
        run(kind, args, {"inplace": True}, x)
    run("RReLU", [0.1, 0.9], {}, x, training=False)
    run("RReLU", [0.1, 0.9], {}, x.float(), dtype=torch.float32)
    for kind in ("Softshrink", "Hardshrink"):
        run(kind, [], {}, x)
        run(kind, [1.5], {}, x)
    run("Softplus", [], {}, x)
    for kind in ("Softmax", "Softmin", "LogSoftmax"):
        run(kind, [0], {}, x)
    run("GLU", [], {}, x)
    run("GLU", [0], {}, randn(4, 3, dtype=d))
    run("PReLU", [1], {}, x)
    run("PReLU", [3], {}, randn(2, 3, 4, dtype=d))
    run("PReLU", [1], {"init": 0.5}, randn(3, dtype=d))


def losses():
    a, b, c = randn(4, 3, dtype=d), randn(4, 3, dtype=d), randn(4, 3, dtype=d)
    logs, probabilities = F.log_softmax(a, 1), F.softmax(b, 1)
    sparse = probabilities.clone()
    sparse[0, 0] = 0
    signs = torch.tensor([1.0, -1.0, 1.0, -1.0], dtype=d)
    classes = torch.tensor([0, 2, 1, 1])
    counts = torch.tensor([[0.0, 1, 2], [3, 4, 5], [1, 0, 2], [7, 1, 0]], dtype=d)
    weight = rand(3, dtype=d) + 0.5
    images, spots = F.log_softmax(randn(2, 3, 2, 4, dtype=d), 1), ints(3, 2, 2, 4)
    spots[0, 0, 0] = -100
    for reduction in ("mean", "sum", "none"):
        o = {"reduction": reduction}
        run("KLDivLoss", [], o, logs, probabilities)
        run("KLDivLoss", [], {**o, "log_target": True}, logs, F.log_softmax(b, 1))
        run("KLDivLoss", [], o, logs, sparse, fixed=(1,))
        run("MarginRankingLoss", [], o, a, b, c.sign(), fixed=(2,))
        run("MarginRankingLoss", [], {**o, "margin": 0.7}, a[:, 0], b[:, 0], signs, fixed=(2,))
        run("HingeEmbeddingLoss", [], {**o, "margin": 0.5}, a, c.sign(), fixed=(1,))
        run("SoftMarginLoss", [], o, a * 20, c.sign(), fixed=(1,))
        run("CosineEmbeddingLoss", [], {**o, "margin": -0.2}, a, b, signs, fixed=(2,))
        run("TripletMarginLoss", [], {**o, "swap": True}, a, b, c)
        run("TripletMarginLoss", [], {**o, "p": 3, "margin": 0.3, "eps": 1e-3}, a, b, c)
        run("MultiMarginLoss", [], {**o, "p": 2, "margin": 0.7, "weight": weight}, a, classes)
        run("PoissonNLLLoss", [], o, a, counts, fixed=(1,))
        run("PoissonNLLLoss", [], {**o, "log_input": False, "full": True, "eps": 1e-3}, a.exp(), counts, fixed=(1,))
        run("GaussianNLLLoss", [], o, a, b, b.abs())
        run("GaussianNLLLoss", [], {**o, "full": True, "eps": 0.5}, a, b, rand(4, 1, dtype=d))
        run("NLLLoss", [], {**o, "weight": weight}, images, spots)
        run("CTCLoss", [], {**o, "zero_infinity": True}, F.log_softmax(randn(3, 2, 4, dtype=d), 2), torch.tensor([[1, 1], [2, 3]]), torch.tensor([2, 3]), torch.tensor([2, 2]))
    run("KLDivLoss", [], {"reduction": "batchmean"}, logs, probabilities)
    run("HingeEmbeddingLoss", [], {}, a, c.sign(), fixed=(1,))
    run("CosineEmbeddingLoss", [], {}, a[0], b[0], torch.tensor(-1.0, dtype=d), fixed=(2,))
    run("MultiMarginLoss", [], {}, a[0], classes[1])
    run("TripletMarginLoss", [], {}, a[0], b[0], c[0])
    lines = F.log_softmax(randn(2, 3, 5, dtype=d), 1)
    run("NLLLoss", [], {"ignore_index": 1}, lines, ints(3, 2, 5))


def ctc():
    steps, batch, kinds = 8, 3, 5
    log_probs = F.log_softmax(randn(steps, batch, kinds, dtype=d), 2)
    targets = torch.tensor([[1, 2, 2, 4], [3, 3, 1, 0], [4, 0, 0, 0]])
    lengths, own = torch.tensor([8, 6, 4]), torch.tensor([4, 3, 1])
    for reduction in ("mean", "sum", "none"):
        run("CTCLoss", [], {"reduction": reduction}, log_probs, targets, lengths, own)
    joined = torch.cat([row[:n] for row, n in zip(targets, own)])
    run("CTCLoss", [], {"reduction": "none"}, log_probs, joined, lengths, own)
    run("CTCLoss", [], {"blank": 4}, log_probs, targets % 4, lengths, own)
    run("CTCLoss", [], {}, log_probs[:, 0], targets[0], torch.tensor(8), torch.tensor(4))
    run("CTCLoss", [], {"reduction": "none"}, log_probs, targets, lengths, torch.tensor([0, 2, 0]))
    run("CTCLoss", [], {"reduction": "none"}, log_probs, torch.tensor([1, 1, 1, 2, 3]), torch.tensor([4, 2, 8]), torch.tensor([3, 0, 2]))
    run("CTCLoss", [], {"reduction": "sum"}, F.log_softmax(randn(steps, batch, kinds) * 4, 2), targets, lengths, own, dtype=torch.float32)
    long = F.log_softmax(randn(60, 2, 12, dtype=d) * 3, 2)
    run("CTCLoss", [], {}, long, ints(11, 2, 25) + 1, torch.tensor([60, 51]), torch.tensor([25, 13]))


for group in (embeddings, norms, convolutions, pools, attention, activations, losses, ctc):
    group()

# ---- initialisers

initialisers = []
for number, (name, torch_name, shape, args, options) in enumerate([
    ("truncNormal_", "trunc_normal_", (6, 7), [], {}),
    ("truncNormal_", "trunc_normal_", (3, 4), [], {"mean": 1.0, "std": 2.0, "a": -1.0, "b": 1.5}),
    ("orthogonal_", "orthogonal_", (5, 5), [], {}), ("orthogonal_", "orthogonal_", (3, 7), [], {"gain": 2.0}),
    ("orthogonal_", "orthogonal_", (8, 3), [], {}), ("orthogonal_", "orthogonal_", (4, 2, 3), [], {}), ("orthogonal_", "orthogonal_", (1, 3), [], {}),
    ("sparse_", "sparse_", (7, 3), [0.3], {}), ("sparse_", "sparse_", (4, 6), [0.9, 0.5], {}),
    ("dirac_", "dirac_", (4, 4, 3), [], {}), ("dirac_", "dirac_", (6, 2, 4), [3], {}), ("dirac_", "dirac_", (2, 5, 3, 2), [], {}),
    ("dirac_", "dirac_", (4, 1, 1, 2, 3), [2], {}), ("eye_", "eye_", (3, 5), [], {}),
    ("xavierUniform_", "xavier_uniform_", (4, 3, 5), [], {"gain": 0.5}), ("xavierNormal_", "xavier_normal_", (4, 3, 5), [], {"gain": 2.0}),
    ("kaimingUniform_", "kaiming_uniform_", (4, 3, 5), [], {"mode": "fan_out", "nonlinearity": "selu"}),
    ("kaimingNormal_", "kaiming_normal_", (4, 3, 5), [], {"mode": "fan_out", "a": 0.3}),
    ("kaimingNormal_", "kaiming_normal_", (4, 6), [], {"nonlinearity": "tanh"}),
    ("kaimingUniform_", "kaiming_uniform_", (4, 6), [], {"nonlinearity": "linear"}),
]):  # fmt: skip
    for dtype in (torch.float32, d):
        case = f"initialiser{len(initialisers)}"
        torch.manual_seed(200 + number)
        put(case, out=getattr(nn.init, torch_name)(torch.empty(*shape, dtype=dtype), *args, **options), next=torch.rand(3))
        initialisers.append({"case": case, "name": name, "shape": shape, "dtype": str(dtype)[6:], "args": args,
                             "options": camel(options), "seed": 200 + number})  # fmt: skip

gains = [[ours, param, nn.init.calculate_gain(theirs, param)] for ours, theirs, param in [
    ("linear", "linear", None), ("conv1d", "conv1d", None), ("conv2d", "conv2d", None), ("conv3d", "conv3d", None),
    ("convTranspose1d", "conv_transpose1d", None), ("convTranspose2d", "conv_transpose2d", None),
    ("convTranspose3d", "conv_transpose3d", None), ("sigmoid", "sigmoid", None), ("tanh", "tanh", None), ("relu", "relu", None),
    ("leakyRelu", "leaky_relu", None), ("leakyRelu", "leaky_relu", 0.2), ("leakyRelu", "leaky_relu", 0), ("selu", "selu", None),
]]  # fmt: skip

cases = {"modules": modules, "initialisers": initialisers, "gains": gains}
with open(os.path.join(OUT, "layers.json"), "w") as file:
    file.write("{\n" + ",\n".join(
        f'"{name}": [\n' + ",\n".join(json.dumps(case) for case in group) + "\n]" for name, group in cases.items()
    ) + "\n}\n")  # fmt: skip
save(os.path.join(OUT, "layers.safetensors"), tensors, {"torch": torch.__version__})
