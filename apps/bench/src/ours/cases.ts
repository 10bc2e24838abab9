// The workloads as a program on Rondo would write them: layers, losses and optimisers of the front door `rondo`.
import {
  Adam,
  binaryCrossEntropyWithLogits,
  clipGradNorm_,
  crossEntropy,
  type Device,
  GRU,
  Linear,
  LSTM,
  LSTMCell,
  Module,
  mseLoss,
  noGrad,
  Parameter,
  RNN,
  scope,
  tensor,
  type Tensor,
  zeros,
} from "rondo"
import { type Cases, type Stepper, timeLatency, timeRun, timeTraining, type Trainer } from "../timing.js"
import { build, type LinearWeights, type RecurrentWeights, type Values } from "../workloads.js"

const place = ({ data, shape }: Values): Tensor => tensor(data).reshape(shape)

const linearState = (prefix: string, { w, b }: LinearWeights): Record<string, Tensor> => ({
  [`${prefix}.weight`]: place(w),
  [`${prefix}.bias`]: place(b),
})
const recurrentState = (prefix: string, weights: RecurrentWeights, suffix = "_l0"): Record<string, Tensor> => ({
  [`${prefix}weight_ih${suffix}`]: place(weights.w_ih),
  [`${prefix}weight_hh${suffix}`]: place(weights.w_hh),
  [`${prefix}bias_ih${suffix}`]: place(weights.b_ih),
  [`${prefix}bias_hh${suffix}`]: place(weights.b_hh),
})

/** Reads a loss. On a device that queues its work, this also waits for the optimiser's step, which was queued before. */
const read = (device: Device, loss: Tensor): number | Promise<number> =>
  device.backend.capabilities.syncRead ? loss.itemSync() : loss.item()

/** Zero gradients, forward, backward, clip, step. Everything but the loss is freed at the end of each step. */
function trainer(device: Device, model: Module, lr: number, loss: () => Tensor, clip?: number): Trainer<number> {
  const parameters = model.parameters()
  const adam = new Adam(parameters, { lr })
  const once = () => {
    adam.zeroGrad()
    const value = loss()
    value.backward()
    if (clip) clipGradNorm_(parameters, clip)
    adam.step()
    return value.detach()
  }
  return { step: (last = true) => (last ? read(device, scope(once)) : (scope(once).dispose(), NaN)) }
}

/** A plain recurrent layer and a linear one on its last output. */
class Elman extends Module {
  readonly rnn: RNN
  readonly out: Linear
  constructor(inputs: number, hidden: number, outputs: number) {
    super()
    this.rnn = new RNN(inputs, hidden, { batchFirst: true })
    this.out = new Linear(hidden, outputs)
  }
  forward(x: Tensor): Tensor {
    const [output] = this.rnn.forward(x)
    return this.out.forward(output.select(1, -1))
  }
}

function elman(device: Device, workload: "W1" | "W2"): Trainer<number> {
  const d = build[workload]()
  const model = new Elman(d.I, d.H, d.O)
  model.loadStateDict({ ...recurrentState("rnn.", d.rnn), ...linearState("out", d.out) })
  const x = tensor(d.x).reshape(d.N, d.T, d.I)
  const y = tensor(d.y).reshape(d.N, d.O)
  return trainer(device, model, d.lr, () => mseLoss(model.forward(x), y))
}

/** The recurrence written out: h = tanh(inp(x_t) + hh(h)). */
class ByHand extends Module {
  readonly inp: Linear
  readonly hh: Linear
  readonly out: Linear
  constructor(inputs: number, hidden: number, outputs: number) {
    super()
    this.inp = new Linear(inputs, hidden)
    this.hh = new Linear(hidden, hidden, { bias: false })
    this.out = new Linear(hidden, outputs)
  }
  /** One tensor [N, inputs] a time step. */
  forward(steps: readonly Tensor[], start: Tensor): Tensor {
    let h = start
    for (const x of steps) h = this.inp.forward(x).add(this.hh.forward(h)).tanh()
    return this.out.forward(h)
  }
}

function byHand(device: Device): Trainer<number> {
  const d = build.W1b()
  const model = new ByHand(d.I, d.H, d.O)
  model.loadStateDict({ ...linearState("inp", d.inp), "hh.weight": place(d.hh), ...linearState("out", d.out) })
  const x = tensor(d.x).reshape(d.N, d.T, d.I)
  const steps = x.unbind(1).map((step) => step.contiguous())
  const y = tensor(d.y).reshape(d.N, d.O)
  const start = zeros(d.N, d.H)
  return trainer(device, model, d.lr, () => mseLoss(model.forward(steps, start), y))
}

/** Embedding, LSTM, and a linear layer at every step. */
class CharacterModel extends Module {
  readonly emb: Parameter
  readonly rnn: LSTM
  readonly out: Linear
  constructor(words: number, width: number, hidden: number) {
    super()
    this.emb = new Parameter(zeros(words, width))
    this.rnn = new LSTM(width, hidden, { batchFirst: true })
    this.out = new Linear(hidden, words)
  }
  /** ids [B T] in row-major order -> logits [B T, words]. */
  forward(ids: Tensor, batch: number): Tensor {
    const x = this.emb.indexSelect(0, ids).reshape(batch, -1, this.rnn.inputSize)
    const [output] = this.rnn.forward(x)
    return this.out.forward(output).reshape(ids.shape[0], -1)
  }
}

function characters(device: Device): Trainer<number> {
  const d = build.W3()
  const model = new CharacterModel(d.V, d.E, d.H)
  model.loadStateDict({ emb: place(d.emb), ...recurrentState("rnn.", d.rnn), ...linearState("out", d.out) })
  const ids = tensor(d.ids)
  const targets = tensor(d.targets)
  return trainer(device, model, d.lr, () => crossEntropy(model.forward(ids, d.B), targets), d.clip)
}

/** Embedding, GRU, and a linear layer on the last state. */
class Sentiment extends Module {
  readonly emb: Parameter
  readonly rnn: GRU
  readonly out: Linear
  constructor(words: number, width: number, hidden: number) {
    super()
    this.emb = new Parameter(zeros(words, width))
    this.rnn = new GRU(width, hidden, { batchFirst: true })
    this.out = new Linear(hidden, 1)
  }
  /** ids [B T] in row-major order -> logits [B, 1]. */
  forward(ids: Tensor, batch: number): Tensor {
    const x = this.emb.indexSelect(0, ids).reshape(batch, -1, this.rnn.inputSize)
    const [, last] = this.rnn.forward(x)
    return this.out.forward(last.select(0, 0))
  }
}

function sentiment(device: Device, workload: "W4" | "W4d"): Trainer<number> {
  const d = build[workload]()
  const model = new Sentiment(d.V, d.E, d.H)
  model.loadStateDict({ emb: place(d.emb), ...recurrentState("rnn.", d.rnn), ...linearState("out", d.out) })
  const ids = tensor(d.ids)
  const y = tensor(d.y).reshape(d.B, 1)
  return trainer(device, model, d.lr, () => binaryCrossEntropyWithLogits(model.forward(ids, d.B), y))
}

function oneStep(device: Device): Stepper {
  const d = build.W5()
  const cell = new LSTMCell(d.I, d.H)
  cell.loadStateDict(recurrentState("", d.rnn, ""))
  const x = place(d.x)
  let state: [Tensor, Tensor] = [zeros(1, d.H), zeros(1, d.H)]
  let h: ArrayLike<number | bigint> = []
  const next = () => {
    const made = noGrad(() => scope(() => cell.forward(x, state)))
    state.forEach((old) => old.dispose())
    state = [made[0], made[1]]
  }
  const step = device.backend.capabilities.syncRead
    ? () => (next(), void (h = state[0].dataSync()))
    : async () => (next(), void (h = await state[0].data()))
  return { step, check: () => Array.from(h, Number).reduce((a, b) => a + b, 0) }
}

const asIs = (loss: number): number => loss

/** All workloads on one device, which must be the current one. `time` times the training steps. */
export function trainingCases(device: Device, time: typeof timeTraining = timeTraining): Cases {
  const training = (name: string, make: () => Trainer<number>) => () => time(name, make, asIs)
  return {
    W1: training("W1", () => elman(device, "W1")),
    "W1-run": () => timeRun("W1-run", () => elman(device, "W1"), asIs),
    W1b: training("W1b", () => byHand(device)),
    W2: training("W2", () => elman(device, "W2")),
    W3: training("W3", () => characters(device)),
    W4: training("W4", () => sentiment(device, "W4")),
    W4d: training("W4d", () => sentiment(device, "W4d")),
    W5: () => timeLatency("W5", () => oneStep(device)),
  }
}
