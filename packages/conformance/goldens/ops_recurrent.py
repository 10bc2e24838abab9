"""Records every recurrent layer of torch.nn, its cells, torch.nn.utils.rnn, and recurrence through the output.

ops.py puts the cases into ops.safetensors; the suite's check `recurrent` replays them on a backend. A case is computed
in float64 from numbers that float32 has, so that one record judges both widths. Of each case there are two vectors:
`recurrent<n>.in` holds its inputs and parameters, `recurrent<n>.out` its results, then the gradients of all inputs and
parameters of sum over i of sum(weights(y_i, i) * y_i); the row in the file's metadata tells their names and shapes.
Recurrence through the output, which PyTorch has no layer for, is written out in the documented formulas.
"""
import itertools

import numpy as np
import torch
from torch import nn
from torch.nn.utils import rnn

INPUT, HIDDEN, PROJECTED, OUTPUT, TIME, BATCH = 4, 3, 2, 2, 5, 2
LENGTHS = {True: [5, 4, 4, 2, 2, 1, 1], False: [2, 4, 1, 4, 3, 1, 2]}


def rounded(*shape, scale=1.0):
    """Normal numbers that float32 has."""
    return (torch.randn(shape) * scale).double().requires_grad_()


def weights(y, salt):
    """As weightsFor in the suite."""
    return 0.5 + 0.25 * ((torch.arange(y.numel()) * 5 + salt * 3) % 7).double().reshape(y.shape)


def camel(options):
    def one(name):
        head, *rest = name.split("_")
        return head + "".join(word.capitalize() for word in rest)

    return {one(name): value for name, value in options.items()}


def listed(indices):
    return None if indices is None else indices.tolist()


def layout(packed):
    return {"batchSizes": listed(packed.batch_sizes), "sortedIndices": listed(packed.sorted_indices),
            "unsortedIndices": listed(packed.unsorted_indices)}  # fmt: skip


class Book:
    """The rows and tensors of all cases."""

    def __init__(self, tensors):
        self.tensors, self.rows = tensors, []

    def seed(self):
        torch.manual_seed(1000 + len(self.rows))

    def put(self, op, how, inputs, parameters, outputs, **row):
        """`how` says what is done; row: what else the replay must know, and facts that must come out."""
        outputs = [(name, y) for name, y in outputs]
        leaves = [*inputs.items(), *parameters.items()]
        loss = sum((y * weights(y, i)).sum() for i, (_, y) in enumerate(outputs))
        found = torch.autograd.grad(loss, [x for _, x in leaves], allow_unused=True, retain_graph=True)
        grads = [torch.zeros_like(x) if g is None else g for g, (_, x) in zip(found, leaves)]
        name = f"recurrent{len(self.rows)}"
        flat = lambda values, dtype: np.concatenate([v.detach().numpy().ravel() for v in values]).astype(dtype)
        self.tensors[f"{name}.in"] = flat([x for _, x in leaves], "float32")
        self.tensors[f"{name}.out"] = flat([y for _, y in outputs] + grads, "float64")
        shapes = lambda items: [[key, list(x.shape)] for key, x in items]
        self.rows.append({"name": name, "op": op, "how": how, "inputs": shapes(inputs.items()),
                          "parameters": shapes(parameters.items()), "outputs": shapes(outputs), **row})  # fmt: skip


# ---- layers over sequences, padded and packed


def built(op, sizes, options):
    layer = getattr(nn, op)(*sizes, dtype=torch.float64, **options)
    # As drawn, most units of relu would be off, and errors behind them unseen.
    shift = 0.125 if options.get("nonlinearity") == "relu" else 0
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_((p + shift).float().double())
    return layer, dict(layer.named_parameters())


def layer(book, op, options=None, given=False, packed=None, unbatched=False, training=True, sizes=(INPUT, HIDDEN),
          time=TIME, batch=BATCH, lengths=None, listed_sequences=False, pad=None):  # fmt: skip
    """packed: None for a padded tensor, else the value of enforce_sorted."""
    options, pad = options or {}, pad or {}
    book.seed()
    module, parameters = built(op, sizes, options)
    module.train(training)
    lengths = (lengths or LENGTHS[packed]) if packed is not None else None
    batch = len(lengths) if lengths else batch
    rows = module.num_layers * (2 if module.bidirectional else 1)
    shape = (time,) if unbatched else (batch, time) if module.batch_first else (time, batch)
    if listed_sequences:
        inputs = {f"x{i}": rounded(length, sizes[0]) for i, length in enumerate(lengths)}
    else:
        inputs = {"x": rounded(*shape, sizes[0])}
    sequences = list(inputs.values())
    if given:
        widths = {"h0": module.proj_size or sizes[1], **({"c0": sizes[1]} if op == "LSTM" else {})}
        inputs |= {name: rounded(*((rows,) if unbatched else (rows, batch)), width) for name, width in widths.items()}
    state = None if not given else (inputs["h0"], inputs["c0"]) if op == "LSTM" else inputs["h0"]
    if packed is None:
        source = inputs["x"]
    elif listed_sequences:
        source = rnn.pack_sequence(sequences, packed)
    else:
        source = rnn.pack_padded_sequence(inputs["x"], lengths, module.batch_first, packed)
    seed = 5000 + len(book.rows)
    torch.manual_seed(seed)
    result, last = module(source, state)
    facts, outputs = {}, [("output", result)]
    if packed is not None:
        padded, back = rnn.pad_packed_sequence(result, module.batch_first, **pad)
        facts = {**layout(result), "lengths": listed(back)}
        outputs = [("data", result.data), ("padded", padded)]
    outputs += list(zip(("hn", "cn"), last)) if op == "LSTM" else [("hn", last)]
    source_words = f"packed{' list' if listed_sequences else ''} {lengths}, {'sorted' if packed else 'unsorted'}"
    words = [
        "" if packed is None else source_words,
        "unbatched" if unbatched else "" if packed is not None else f"{time} x {batch}",
        f"{sizes[0]} to {sizes[1]}" if sizes != (INPUT, HIDDEN) else "",
        "from a state" if given else "", "" if training else "in evaluation",
        f"padded with {camel(pad)}" if pad else "",
    ]  # fmt: skip
    book.put(op, ", ".join(filter(None, words)), inputs, parameters, outputs, sizes=sizes, options=camel(options),
             training=training, seed=seed, facts=facts, pad=camel(pad),
             **({} if packed is None else {"lengths": lengths, "enforceSorted": packed}))  # fmt: skip


KINDS = [("RNN", {}), ("RNN", {"nonlinearity": "relu"}), ("LSTM", {}), ("GRU", {}), ("LSTM", {"proj_size": PROJECTED})]


def padded_layers(book, op, kind):
    for count, both, given in itertools.product((1, 2, 3), (False, True), (False, True)):
        if count < 3 or both == given:
            layer(book, op, {**kind, "num_layers": count, "bidirectional": both}, given)
    for given, both in itertools.product((False, True), (False, True)):
        layer(book, op, {**kind, "bidirectional": both, "num_layers": 2}, given, unbatched=True)
        layer(book, op, {**kind, "batch_first": True, "bidirectional": both, "num_layers": 1 + both}, given)
        layer(book, op, {**kind, "bias": False, "bidirectional": both, "num_layers": 1 + both}, given)
    layer(book, op, {**kind, "batch_first": True, "bias": False}, True, unbatched=True)
    for count, p, both in ((2, 0.3, False), (3, 0.5, True), (2, 1.0, False)):
        layer(book, op, {**kind, "num_layers": count, "dropout": p, "bidirectional": both, "batch_first": both}, both)
    layer(book, op, {**kind, "num_layers": 2, "dropout": 0.5}, training=False)
    layer(book, op, {**kind, "num_layers": 2, "bidirectional": True}, True, time=1, batch=3)
    layer(book, op, {**kind, "bidirectional": True}, batch=1)
    if "proj_size" in kind:
        layer(book, op, {"proj_size": 1}, True, sizes=(1, 2))
    else:
        layer(book, op, {**kind, "bidirectional": True}, True, sizes=(1, 1))


def packed_layers(book, op, kind):
    for count, both, given, ordered in itertools.product((1, 2), (False, True), (False, True), (True, False)):
        layer(book, op, {**kind, "num_layers": count, "bidirectional": both}, given, ordered)
    for ordered in (True, False):
        layer(book, op, {**kind, "num_layers": 3, "bidirectional": ordered}, True, ordered, listed_sequences=True)
        layer(book, op, {**kind, "batch_first": True, "bias": ordered}, not ordered, ordered,
              pad={"total_length": 7, "padding_value": -1.5})  # fmt: skip
        dropping = {"num_layers": 2, "dropout": 0.5, "bidirectional": True}
        layer(book, op, {**kind, **dropping}, ordered, ordered)
        layer(book, op, {**kind, **dropping}, ordered, ordered, training=False)
    layer(book, op, {**kind, "bidirectional": True}, True, True, lengths=[3])
    layer(book, op, {**kind, "bidirectional": True}, True, False, lengths=[5, 5, 5])
    layer(book, op, {**kind, "bidirectional": True}, True, False, lengths=[1, 1], listed_sequences=True)


# ---- cells, two steps each, so that gradients also pass through a state


def cell(book, op, options, given, shape):
    book.seed()
    module, parameters = built(op, (INPUT, HIDDEN), options)
    inputs = {"x": rounded(2, *shape, INPUT)}
    if given:
        inputs |= {name: rounded(*shape, HIDDEN) for name in (("h0", "c0") if op == "LSTMCell" else ("h0",))}
    state = None if not given else (inputs["h0"], inputs["c0"]) if op == "LSTMCell" else inputs["h0"]
    outputs = []
    for t, x in enumerate(inputs["x"].unbind(0), 1):
        state = module(x, state)
        outputs += zip((f"h{t}", f"c{t}"), state if isinstance(state, tuple) else (state,))
    how = f"{'' if shape else 'un'}batched{', from a state' if given else ''}"
    book.put(op, how, inputs, parameters, outputs, sizes=(INPUT, HIDDEN), options=camel(options))


# ---- recurrence through the output

FUNCTIONS = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid, "identity": lambda x: x}
KEYS = {"OutputToHiddenRNN": "weight_oh", "OutputToOutputRNN": "weight_oo"}
DEFAULTS = {"OutputToHiddenRNN": "identity", "OutputToOutputRNN": "tanh"}


def through_output(book, op, options=None, given=False, forcing=None, unbatched=False, time=TIME):
    """forcing: None without targets, else the probability of feeding them; options in Rondo's spelling."""
    options = options or {}
    book.seed()
    shapes = {"weight_ih": (HIDDEN, INPUT), "weight_ho": (OUTPUT, HIDDEN), "bias_h": (HIDDEN,), "bias_o": (OUTPUT,),
              KEYS[op]: (HIDDEN if op == "OutputToHiddenRNN" else OUTPUT, OUTPUT)}  # fmt: skip
    p = {k: rounded(*s, scale=0.5) for k, s in shapes.items() if options.get("bias", True) or not k.startswith("bias")}
    first = options.get("batchFirst", False)
    lead = (time,) if unbatched else (BATCH, time) if first else (time, BATCH)
    inputs = {"x": rounded(*lead, INPUT)}
    if given:
        inputs["o0"] = rounded(*([] if unbatched else [BATCH]), OUTPUT)
    if forcing is not None:
        inputs["targets"] = rounded(*lead, OUTPUT)
    swap = lambda x: x.unsqueeze(1) if unbatched else x.transpose(0, 1) if first else x
    back = lambda x: x.squeeze(1) if unbatched else x.transpose(0, 1) if first else x
    x, truth = swap(inputs["x"]), None if forcing is None else swap(inputs["targets"])
    rows = x.shape[1]
    last = inputs["o0"].reshape(rows, OUTPUT) if given else torch.zeros(rows, OUTPUT, dtype=torch.float64)
    f = FUNCTIONS[options.get("nonlinearity", "tanh")]
    g = FUNCTIONS[options.get("outputNonlinearity", DEFAULTS[op])]
    seed = 5000 + len(book.rows)
    torch.manual_seed(seed)
    states, results = [], []
    for t in range(time):
        if truth is not None and t > 0 and forcing > 0:
            # One float32 number a sequence and step decides; none is drawn where nothing is left to chance.
            fed = torch.rand(rows) < forcing if forcing < 1 else torch.ones(rows, dtype=torch.bool)
            last = torch.where(fed[:, None], truth[t - 1], last)
        drive = x[t] @ p["weight_ih"].T + p.get("bias_h", 0)
        if op == "OutputToHiddenRNN":
            h = f(drive + last @ p["weight_oh"].T)
            last = g(h @ p["weight_ho"].T + p.get("bias_o", 0))
        else:
            h = f(drive)
            last = g(h @ p["weight_ho"].T + p.get("bias_o", 0) + last @ p["weight_oo"].T)
        states.append(h)
        results.append(last)
    outputs = [("output", back(torch.stack(results))), ("last", last.squeeze(0) if unbatched else last),
               ("hidden", back(torch.stack(states)))]  # fmt: skip
    words = ["unbatched" if unbatched else f"{time} x {BATCH}", "from an output" if given else "",
             "" if forcing is None else f"targets, forcing {forcing}"]  # fmt: skip
    book.put(op, ", ".join(filter(None, words)), inputs, p, outputs, sizes=(INPUT, HIDDEN, OUTPUT), options=options,
             seed=seed, forcing=forcing)  # fmt: skip


def output_layers(book, op):
    for forcing, given in itertools.product((None, 0, 0.5, 1), (False, True)):
        through_output(book, op, {}, given, forcing)
        through_output(book, op, {"batchFirst": True, "bias": given}, given, forcing)
        through_output(book, op, {}, given, forcing, unbatched=True)
    for f, g in itertools.product(FUNCTIONS, FUNCTIONS):
        through_output(book, op, {"nonlinearity": f, "outputNonlinearity": g}, True)
    for forcing in (None, 0.5, 1):
        through_output(book, op, {}, True, forcing, time=1)


# ---- packing and padding themselves


def packing(book, op, how, inputs, outputs, **row):
    book.put(op, how, inputs, {}, outputs, **row)


def padded_batches(book):
    batches = [
        ((5, 4, 3), [5, 3, 3, 1], False, True, {}), ((4, 5, 3), [5, 3, 3, 1], True, True, {"total_length": 7}),
        ((5, 4), [2, 5, 1, 4], False, False, {"padding_value": -1.5}), ((4, 6, 2, 3), [2, 5, 1, 5], True, False, {}),
        ((1, 1, 2), [1], False, True, {"total_length": 3}), ((3, 5, 1), [3] * 5, False, False, {"padding_value": 2.0}),
        ((3, 7), [4, 2, 4], True, False, {"padding_value": 9.0, "total_length": 4}),
    ]  # fmt: skip
    for shape, lengths, batch_first, ordered, pad in batches:
        how = f"{list(shape)}, {lengths}, {'sorted' if ordered else 'unsorted'}{', batch first' if batch_first else ''}"
        row = {"lengths": lengths, "enforceSorted": ordered, "options": {"batchFirst": batch_first}}
        book.seed()
        x = rounded(*shape)
        packed = rnn.pack_padded_sequence(x, lengths, batch_first, ordered)
        packing(book, "packPaddedSequence", how, {"x": x}, [("data", packed.data)], facts=layout(packed), **row)
        for first in (False, True):
            padded, back = rnn.pad_packed_sequence(packed, first, **pad)
            ours = {"batchFirst": first, **camel(pad)}
            packing(book, "padPackedSequence", f"{how}, {ours}", {"x": x}, [("padded", padded)],
                    facts={"lengths": listed(back)}, pad=ours, **row)  # fmt: skip
        # PyTorch 1.13.1 transposes its argument in place, which a leaf does not allow.
        parts = rnn.unpad_sequence(x.clone(), torch.tensor(lengths), batch_first)
        packing(book, "unpadSequence", how, {"x": x}, [(f"y{i}", y) for i, y in enumerate(parts)], **row)


def lists(book):
    batches = [
        ([(5, 2), (3, 2), (3, 2)], True, False, 0.0), ([(2, 3), (4, 3), (1, 3), (4, 3)], False, True, -2.0),
        ([(3,)], True, True, 1.0), ([(1, 2, 2), (3, 2, 2)], False, False, 0.5),
    ]  # fmt: skip
    for shapes, ordered, batch_first, value in batches:
        book.seed()
        inputs = {f"x{i}": rounded(*shape) for i, shape in enumerate(shapes)}
        how = f"{[list(shape) for shape in shapes]}, {'sorted' if ordered else 'unsorted'}"
        packed = rnn.pack_sequence(list(inputs.values()), ordered)
        row = {"enforceSorted": ordered}
        packing(book, "packSequence", how, inputs, [("data", packed.data)], facts=layout(packed), **row)
        parts = rnn.unpack_sequence(packed)
        packing(book, "unpackSequence", how, inputs, [(f"y{i}", y) for i, y in enumerate(parts)], **row)
        padded = rnn.pad_sequence(list(inputs.values()), batch_first, value)
        pad = {"batchFirst": batch_first, "paddingValue": value}
        packing(book, "padSequence", f"{how}, {pad}", inputs, [("padded", padded)], pad=pad)


def record(tensors):
    """Adds the vectors of all cases to `tensors`; gives the rows."""
    book = Book(tensors)
    for op, kind in KINDS:
        padded_layers(book, op, kind)
        packed_layers(book, op, kind)
    cells = [("RNNCell", {}), ("RNNCell", {"nonlinearity": "relu"}), ("LSTMCell", {}), ("GRUCell", {})]
    for (op, kind), bias, given, shape in itertools.product(cells, (True, False), (True, False), ((3,), ())):
        cell(book, op, kind if bias else {**kind, "bias": False}, given, shape)
    for op in KEYS:
        output_layers(book, op)
    padded_batches(book)
    lists(book)
    return book.rows
