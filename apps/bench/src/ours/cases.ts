// The workloads as a program on Rondo would write them: layers, losses and optimisers of the front door `rondo`.
import {
  Adam,
  binaryCrossEntropyWithLogits,
  capture,
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

/** Where a program runs, and whether it captures its steps. */
export interface Setting {
  readonly device: Device
  readonly captured: boolean
}

/** Zero gradients, forward, backward, clip, step. Everything but the loss is freed at the end of each step. */
function trainer(setting: Setting, model: Module, lr: number, loss: () => Tensor, clip?: number): Trainer<number> {
  const { device, captured } = setting
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
  const run = captured ? capture(once) : () => scope(once)
  return { step: (last = true) => (last ? read(device, run()) : (run().dispose(), NaN)) }
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

function elman(setting: Setting, workload: "W1" | "W2"): Trainer<number> {
  const d = build[workload]()
  const model = new Elman(d.I, d.H, d.O)
  model.loadStateDict({ ...recurrentState("rnn.", d.rnn), ...linearState("out", d.out) })
  const x = tensor(d.x).reshape(d.N, d.T, d.I)
  const y = tensor(d.y).reshape(d.N, d.O)
  return trainer(setting, model, d.lr, () => mseLoss(model.forward(x), y))
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

function byHand(setting: Setting): Trainer<number> {
  const d = build.W1b()
  const model = new ByHand(d.I, d.H, d.O)
  model.loadStateDict({ ...linearState("inp", d.inp), "hh.weight": place(d.hh), ...linearState("out", d.out) })
  const x = tensor(d.x).reshape(d.N, d.T, d.I)
  const steps = x.unbind(1).map((step) => step.contiguous())
  const y = tensor(d.y).reshape(d.N, d.O)
  const start = zeros(d.N, d.H)
  return trainer(setting, model, d.lr, () => mseLoss(model.forward(steps, start), y))
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

function characters(setting: Setting): Trainer<number> {
  const d = build.W3()
  const model = new CharacterModel(d.V, d.E, d.H)
  model.loadStateDict({ emb: place(d.emb), ...recurrentState("rnn.", d.rnn), ...linearState("out", d.out) })
  const ids = tensor(d.ids)
  const targets = tensor(d.targets)
  return trainer(setting, model, d.lr, () => crossEntropy(model.forward(ids, d.B), targets), d.clip)
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

function sentiment(setting: Setting, workload: "W4" | "W4d"): Trainer<number> {
  const d = build[workload]()
  const model = new Sentiment(d.V, d.E, d.H)
  model.loadStateDict({ emb: place(d.emb), ...recurrentState("rnn.", d.rnn), ...linearState("out", d.out) })
  const ids = tensor(d.ids)
  const y = tensor(d.y).reshape(d.B, 1)
  return trainer(setting, model, d.lr, () => binaryCrossEntropyWithLogits(model.forward(ids, d.B), y))
}

function oneStep({ device, captured }: Setting): Stepper {
  const d = build.W5()
  const cell = new LSTMCell(d.I, d.H)
  cell.loadStateDict(recurrentState("", d.rnn, ""))
  const x = place(d.x)
  let state: [Tensor, Tensor] = [zeros(1, d.H), zeros(1, d.H)]
  let h: ArrayLike<number | bigint> = []
  const inPlace = capture((input: Tensor) => {
    const made = cell.forward(input, state)
    state.forEach((old, i) => old.copy_(made[i]))
  })
  const anew = () => {
    const made = scope(() => cell.forward(x, state))
    state.forEach((old) => old.dispose())
    state = [made[0], made[1]]
  }
  const next = () => noGrad(captured ? () => inPlace(x) : anew)
  const step = device.backend.capabilities.syncRead
    ? () => (next(), void (h = state[0].dataSync()))
    : async () => (next(), void (h = await state[0].data()))
  return { step, check: () => Array.from(h, Number).reduce((a, b) => a + b, 0) }
}

const asIs = (loss: number): number => loss

/** All workloads on one device, which must be the current one. `time` times the training steps. */
export function trainingCases(setting: Setting, time: typeof timeTraining = timeTraining): Cases {
  const training = (name: string, make: () => Trainer<number>) => () => time(name, make, asIs)
  return {
    W1: training("W1", () => elman(setting, "W1")),
    "W1-run": () => timeRun("W1-run", () => elman(setting, "W1"), asIs),
    W1b: training("W1b", () => byHand(setting)),
    W2: training("W2", () => elman(setting, "W2")),
    W3: training("W3", () => characters(setting)),
    W4: training("W4", () => sentiment(setting, "W4")),
    W4d: training("W4d", () => sentiment(setting, "W4d")),
    W5: () => timeLatency("W5", () => oneStep(setting)),
  }
}
