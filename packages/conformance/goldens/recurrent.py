"""PyTorch's projected LSTMs, packed sequences and multinomial draws, for packages/nn/src/goldens/recurrent.*.

Run from the repository's root with Debian's python3-torch (1.13.1):
    /usr/bin/python3 packages/conformance/goldens/recurrent.py
recurrent.json lists the calls with their options in our spelling; the safetensors file holds their tensors as <case>/<name>.
Plain layers without projection are nn.py's.
"""
import itertools
import json
import os
import warnings

import torch
from safetensors_io import save
from torch import nn
from torch.nn.utils import rnn

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


def listed(indices):
    return None if indices is None else indices.tolist()


# ---- default initialisation of projections

init = []
INIT = [
    ((3, 4), {"proj_size": 2}), ((3, 5), {"proj_size": 4, "num_layers": 2, "bidirectional": True}),
    ((2, 7), {"proj_size": 1, "bias": False, "num_layers": 3, "batch_first": True, "dropout": 0.25}),
    ((2, 3), {"proj_size": 2, "dtype": "float64", "bidirectional": True}),
]  # fmt: skip
for number, (sizes, options) in enumerate(INIT):
    torch.manual_seed(number + 1)
    layer = nn.LSTM(*sizes, **{k: getattr(torch, v) if k == "dtype" else v for k, v in options.items()})
    put(f"init{number}", **layer.state_dict(), next=torch.rand(3))
    init.append({"case": f"init{number}", "sizes": sizes, "options": camel(options), "seed": number + 1,
                 "keys": list(layer.state_dict()), "repr": repr(layer)})  # fmt: skip

# ---- layers over padded and packed sequences: outputs, last states and every gradient

layers = []
LENGTHS = {True: [5, 3, 3, 1], False: [2, 5, 1, 5]}


def run_layer(kind, options, packed=None, training=True, given=False, unbatched=False, dtype=torch.float64):
    """packed: None for a plain tensor, else the value of enforce_sorted."""
    number = len(layers)
    case = f"layer{number}"
    torch.manual_seed(number)
    layer = getattr(nn, kind)(3, 4, dtype=dtype, **options).train(training)
    time, batch = 5, 4 if packed is not None else 2
    rows = layer.num_layers * (2 if layer.bidirectional else 1)
    shape = (time, 3) if unbatched else (batch, time, 3) if layer.batch_first else (time, batch, 3)
    x = torch.randn(shape, dtype=dtype).requires_grad_()
    states = []
    if given:
        for size in (layer.proj_size or 4, 4)[: 2 if kind == "LSTM" else 1]:
            states.append(torch.randn((rows, size) if unbatched else (rows, batch, size), dtype=dtype).requires_grad_())
    torch.manual_seed(number + 100)
    source = x
    if packed is not None:
        source = rnn.pack_padded_sequence(x, LENGTHS[packed], layer.batch_first, enforce_sorted=packed)
    result = layer(source, (tuple(states) if kind == "LSTM" else states[0]) if given else None)
    output = result[0] if packed is None else result[0].data
    finals = result[1] if kind == "LSTM" else (result[1],)
    weight = torch.linspace(-1, 1, output.numel(), dtype=dtype).reshape(output.shape)
    loss = (output * weight).sum() + sum((s * s).sum() * (i + 1) for i, s in enumerate(finals))
    loss.backward()
    put(case, x=x, dx=x.grad, output=output)
    for i, s in enumerate(states):
        put(case, **{f"start{i}": s, f"dstart{i}": s.grad})
    for i, s in enumerate(finals):
        put(case, **{f"final{i}": s})
    put(case, **dict(layer.named_parameters()), **{f"d{name}": p.grad for name, p in layer.named_parameters()})
    layers.append({"case": case, "kind": kind, "options": camel(options), "training": training, "given": given,
                   "dtype": str(dtype)[6:], "seed": number + 100, "packed": packed,
                   "lengths": None if packed is None else LENGTHS[packed]})  # fmt: skip


for count, both, given in itertools.product((1, 2), (False, True), (False, True)):
    run_layer("LSTM", {"proj_size": 2, "num_layers": count, "bidirectional": both}, given=given)
run_layer("LSTM", {"proj_size": 3, "bias": False, "batch_first": True}, given=True)
run_layer("LSTM", {"proj_size": 1, "num_layers": 2, "bidirectional": True}, unbatched=True, given=True)
run_layer("LSTM", {"proj_size": 2, "num_layers": 3, "dropout": 0.5, "bidirectional": True, "batch_first": True})
run_layer("LSTM", {"proj_size": 2, "num_layers": 2, "dropout": 0.5}, training=False)
run_layer("LSTM", {"proj_size": 2, "num_layers": 2}, dtype=torch.float32)
run_layer("LSTM", {"proj_size": 0})
for kind, count, both, packed in itertools.product(("RNN", "LSTM", "GRU"), (1, 2), (False, True), (True, False)):
    # States are given in half of the cases, such that every pair of choices is met.
    run_layer(kind, {"num_layers": count, "bidirectional": both}, packed, given=(count == 2) != packed)
for count, both, packed in itertools.product((1, 2), (False, True), (True, False)):
    run_layer("LSTM", {"proj_size": 2, "num_layers": count, "bidirectional": both}, packed, given=(count == 1) != packed)
for kind in ("RNN", "LSTM", "GRU"):
    hard = {"num_layers": 3, "dropout": 0.5, "bidirectional": True, "batch_first": True}
    run_layer(kind, {**hard, **({"proj_size": 3} if kind == "LSTM" else {})}, False, given=True)
    run_layer(kind, {"bias": False, "batch_first": True}, False, given=True)
    run_layer(kind, {"num_layers": 2, "dropout": 0.5}, True, training=False)
    run_layer(kind, {"bidirectional": True}, False, given=True, dtype=torch.float32)
run_layer("RNN", {"nonlinearity": "relu", "num_layers": 2, "bidirectional": True}, False, given=True)
run_layer("RNN", {"num_layers": 2, "dropout": 1.0}, True)

# ---- packing and padding themselves

packing = []
torch.manual_seed(5)
PACK = [
    ((5, 4, 3), [5, 3, 3, 1], False, True, {}), ((4, 5, 3), [5, 3, 3, 1], True, True, {"total_length": 7}),
    ((5, 4), [2, 5, 1, 4], False, False, {"padding_value": -1.5}), ((4, 6, 2, 3), [2, 5, 1, 5], True, False, {}),
    ((1, 1, 2), [1], False, True, {"total_length": 3}), ((3, 5, 1), [3, 3, 3, 3, 3], False, False, {"padding_value": 2.0}),
    ((3, 7), [4, 2, 4], True, False, {"padding_value": 9.0, "total_length": 4}),
]  # fmt: skip
for number, (shape, lengths, batch_first, enforce_sorted, options) in enumerate(PACK):
    case = f"pack{number}"
    x = torch.randn(shape, dtype=torch.float64).requires_grad_()
    packed = rnn.pack_padded_sequence(x, lengths, batch_first, enforce_sorted)
    padded, back = rnn.pad_packed_sequence(packed, not batch_first, **options)
    weight = torch.linspace(-1, 1, padded.numel(), dtype=torch.float64).reshape(padded.shape)
    (padded * padded * weight).sum().backward()
    put(case, x=x, dx=x.grad, data=packed.data, padded=padded)
    packing.append({"case": case, "lengths": lengths, "batchFirst": batch_first, "enforceSorted": enforce_sorted,
                    "options": camel(options), "batchSizes": listed(packed.batch_sizes), "back": listed(back),
                    "sortedIndices": listed(packed.sorted_indices),
                    "unsortedIndices": listed(packed.unsorted_indices)})  # fmt: skip

lists = []
for number, (shapes, enforce_sorted, batch_first, value) in enumerate([
    ([(5, 2), (3, 2), (3, 2)], True, False, 0.0), ([(2, 3), (4, 3), (1, 3), (4, 3)], False, True, -2.0),
    ([(3,)], True, True, 1.0), ([(1, 2, 2), (3, 2, 2)], False, False, 0.5),
]):  # fmt: skip
    case = f"list{number}"
    sequences = [torch.randn(shape, dtype=torch.float64).requires_grad_() for shape in shapes]
    packed = rnn.pack_sequence(sequences, enforce_sorted)
    padded = rnn.pad_sequence(sequences, batch_first, value)
    ramp = [torch.linspace(-1, 1, x.numel(), dtype=torch.float64).reshape(x.shape) for x in (packed.data, padded)]
    ((packed.data**2 * ramp[0]).sum() + (padded**2 * ramp[1]).sum()).backward()
    put(case, data=packed.data, padded=padded)
    for i, x in enumerate(sequences):
        put(case, **{f"x{i}": x, f"dx{i}": x.grad, f"unpacked{i}": rnn.unpack_sequence(packed)[i]})
    lists.append({"case": case, "count": len(shapes), "enforceSorted": enforce_sorted, "batchFirst": batch_first,
                  "paddingValue": value, "batchSizes": listed(packed.batch_sizes),
                  "sortedIndices": listed(packed.sorted_indices)})  # fmt: skip

# ---- recurrence through the output, written out in the documented formulas

outputs = []


def run_output(kind, options, forced, dtype=torch.float64):
    case = f"output{len(outputs)}"
    torch.manual_seed(80 + len(outputs))
    sizes = {"weight_ih": (4, 3), "weight_ho": (2, 4), "bias_h": (4,), "bias_o": (2,),
             **({"weight_oh": (4, 2)} if kind == "OutputToHiddenRNN" else {"weight_oo": (2, 2)})}  # fmt: skip
    w = {k: torch.randn(s, dtype=dtype).requires_grad_() for k, s in sizes.items() if options["bias"] or "bias" not in k}
    x, o0, targets = (torch.randn(s, dtype=dtype).requires_grad_() for s in ((5, 2, 3), (2, 2), (5, 2, 2)))
    f, g = ({"identity": lambda v: v}.get(options[k]) or getattr(torch, options[k])
            for k in ("nonlinearity", "outputNonlinearity"))  # fmt: skip
    bias_h, bias_o = w.get("bias_h", 0), w.get("bias_o", 0)
    last, out, states = o0, [], []
    for t in range(5):
        if kind == "OutputToHiddenRNN":
            h = f(x[t] @ w["weight_ih"].T + bias_h + last @ w["weight_oh"].T)
            last = g(h @ w["weight_ho"].T + bias_o)
        else:
            h = f(x[t] @ w["weight_ih"].T + bias_h)
            last = g(h @ w["weight_ho"].T + bias_o + last @ w["weight_oo"].T)
        states.append(h)
        out.append(last)
        last = targets[t] if forced else last
    output, hidden = torch.stack(out), torch.stack(states)
    weight = torch.linspace(-1, 1, output.numel(), dtype=dtype).reshape(output.shape)
    ((output * weight).sum() + (hidden**2).sum()).backward()
    put(case, x=x, dx=x.grad, o0=o0, do0=o0.grad, targets=targets, output=output, hidden=hidden)
    put(case, **w, **{f"d{name}": p.grad for name, p in w.items()})
    outputs.append({"case": case, "kind": kind, "options": options, "forced": forced})


for kind in ("OutputToHiddenRNN", "OutputToOutputRNN"):
    run_output(kind, {"bias": True, "nonlinearity": "tanh", "outputNonlinearity": "identity"}, False)
    run_output(kind, {"bias": False, "nonlinearity": "relu", "outputNonlinearity": "tanh"}, False)
    run_output(kind, {"bias": True, "nonlinearity": "sigmoid", "outputNonlinearity": "sigmoid"}, True)

# ---- drawing tokens

draws = []
for number, (temperature, k) in enumerate([(1.0, None), (0.5, None), (2.0, 3)]):
    torch.manual_seed(60 + number)
    logits = torch.randn(4, 7) * 2
    scaled = logits / temperature
    if k is not None:
        scaled = torch.where(scaled < torch.topk(scaled, k)[0][:, -1:], torch.tensor(-float("inf")), scaled)
    torch.manual_seed(70 + number)
    drawn = [torch.multinomial(torch.softmax(scaled, 1), 1).squeeze(1) for _ in range(6)]
    put(f"draw{number}", logits=logits, tokens=torch.stack(drawn))
    draws.append({"case": f"draw{number}", "temperature": temperature, "topK": k, "seed": 70 + number})

cases = {"init": init, "layers": layers, "packing": packing, "lists": lists, "outputs": outputs, "draws": draws}
with open(os.path.join(OUT, "recurrent.json"), "w") as file:
    file.write("{\n" + ",\n".join(
        f'"{name}": [\n' + ",\n".join(json.dumps(case) for case in group) + "\n]" for name, group in cases.items()
    ) + "\n}\n")  # fmt: skip
save(os.path.join(OUT, "recurrent.safetensors"), tensors, {"torch": torch.__version__})
