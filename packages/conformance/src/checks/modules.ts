// Check: layers, losses and optimisers give on the backend what they give on the reference, step for step.
import { type Device, manualSeed, noGrad, rand, randint, randn, type Tensor, tensor } from "@rondo/core"
import * as nn from "@rondo/nn"
import { Adam, AdamW, clipGradNorm_, clipGradValue_, SGD } from "@rondo/optim"
import { compareHosts, fail, type Tolerance } from "../compare.js"
import { tensorsIn } from "../calls.js"
import { read, weightsFor } from "../read.js"
import type { Case, Check, Context } from "../suite.js"

/** Something that is done on a device; every tensor of what it returns is compared. */
export interface Experiment {
  readonly op: string
  readonly id: string
  readonly run: (device: Device) => unknown
}

// Recurrences and optimisers carry roundings on from step to step.
const carried: Tolerance = { rtol: 2e-4, atol: 2e-5 }

/** An experiment as a case: run on the device and on the reference from one seed. */
export function experimentCase(context: Context, { op, id, run }: Experiment): Case {
  const on = async (device: Device): Promise<Tensor[]> => {
    manualSeed(11)
    return tensorsIn(await run(device))
  }
  return {
    id,
    op,
    dtype: "float32",
    run: async (tolerance) => {
      const [got, want] = [await on(context.device), await on(context.reference)]
      if (got.length !== want.length || want.length === 0) fail(`got ${got.length} tensors, reference ${want.length}`)
      let worst = 0
      for (const [i, y] of got.entries()) {
        worst = Math.max(
          worst,
          compareHosts(await read(y), await read(want[i]), tolerance ?? carried, { what: `tensor ${i}` }),
        )
      }
      return worst
    },
  }
}

/** Sums results under fixed weights, goes backward, and returns results and gradients of the parameters. */
export function passed(module: nn.Module, outputs: readonly Tensor[], inputs: readonly Tensor[] = []): Tensor[] {
  const total = outputs.map((y, i) => y.mul(weightsFor(y, i)).sum()).reduce((a, b) => a.add(b))
  total.backward()
  return [...outputs, ...[...module.parameters(), ...inputs].map((p) => p.grad as Tensor)]
}

export const input = (device: Device, ...shape: number[]): Tensor => randn(shape, { device }).requiresGrad_()

function layers(): Experiment[] {
  const linear = (bias: boolean): Experiment => ({
    op: "Linear",
    id: bias ? "with bias" : "without bias",
    run: (device) => {
      const layer = new nn.Linear(5, 3, { device, bias })
      const x = input(device, 2, 4, 5)
      return passed(layer, [layer.forward(x)], [x])
    },
  })
  const activations: readonly [string, () => nn.Module & { forward(x: Tensor): Tensor }][] = [
    ["Tanh", () => new nn.Tanh()], ["ReLU", () => new nn.ReLU()], ["Sigmoid", () => new nn.Sigmoid()], ["GELU", () => new nn.GELU()],
    ["SiLU", () => new nn.SiLU()], ["LeakyReLU", () => new nn.LeakyReLU(0.2)], ["ELU", () => new nn.ELU(0.7)],
  ] // prettier-ignore
  const dropout: Experiment = {
    op: "Dropout",
    id: "the same mask on every device",
    run: (device) => {
      const layer = new nn.Dropout(0.4)
      const x = input(device, 6, 7)
      return passed(layer, [layer.forward(x)], [x])
    },
  }
  return [
    linear(true),
    linear(false),
    dropout,
    ...activations.map(([op, make]): Experiment => ({
      op,
      id: "forward and backward",
      run: (device) => {
        const x = input(device, 3, 5)
        return passed(make(), [make().forward(x)], [x])
      },
    })),
  ]
}

type Recurrent = nn.RNN | nn.GRU | nn.LSTM
type AnyOptions = nn.RNNOptions & nn.RecurrentOptions
const kinds: Readonly<Record<string, new (inputs: number, hidden: number, options: AnyOptions) => Recurrent>> = {
  RNN: nn.RNN,
  GRU: nn.GRU,
  LSTM: nn.LSTM,
}
const optionSets: readonly Record<string, unknown>[] = [
  {},
  { numLayers: 2 },
  { bidirectional: true },
  { numLayers: 2, bidirectional: true, batchFirst: true },
  { bias: false },
  { batchFirst: true },
  { numLayers: 2, dropout: 0.3 },
]

function recurrentExperiment(kind: string, options: Record<string, unknown>, withState: boolean): Experiment {
  return {
    op: kind,
    id: `${JSON.stringify(options)}${withState ? " from a state" : ""}`,
    run: (device) => {
      const layer = new kinds[kind](3, 4, { ...options, device } as AnyOptions)
      const x = input(device, ...(options.batchFirst ? [2, 5, 3] : [5, 2, 3]))
      const depth = Number(options.numLayers ?? 1) * (options.bidirectional ? 2 : 1)
      const state = (): Tensor => input(device, depth, 2, 4)
      const initial = kind === "LSTM" ? [state(), state()] : state()
      const forward = (layer as { forward(x: Tensor, state?: unknown): unknown }).forward.bind(layer)
      return withState
        ? passed(layer, tensorsIn(forward(x, initial)), [x, ...tensorsIn(initial)])
        : passed(layer, tensorsIn(forward(x)), [x])
    },
  }
}

function recurrents(): Experiment[] {
  const all = Object.keys(kinds).flatMap((kind) => [
    ...optionSets.map((options) => recurrentExperiment(kind, options, false)),
    recurrentExperiment(kind, { numLayers: 2, bidirectional: true }, true),
  ])
  return [...all, recurrentExperiment("RNN", { nonlinearity: "relu" }, false)]
}

function losses(): Experiment[] {
  const reductions = ["none", "mean", "sum"] as const
  const pair = (
    op: string,
    make: (reduction: nn.Reduction) => { forward(x: Tensor, y: Tensor): Tensor },
    probability = false,
  ): Experiment[] =>
    reductions.map((reduction) => ({
      op,
      id: reduction,
      run: (device) => {
        const x = (probability ? rand([4, 3], { device }) : randn([4, 3], { device })).requiresGrad_()
        const loss = make(reduction).forward(x, rand([4, 3], { device }))
        loss.mul(weightsFor(loss)).sum().backward()
        return [loss, x.grad]
      },
    }))
  const classes = (op: string, id: string, options: (device: Device) => nn.CrossEntropyOptions): Experiment => ({
    op,
    id,
    run: (device) => {
      const x = input(device, 5, 4)
      const target = randint(0, 4, [5], { device })
      const loss =
        op === "NLLLoss"
          ? new nn.NLLLoss(options(device)).forward(x.logSoftmax(1), target)
          : new nn.CrossEntropyLoss(options(device)).forward(x, target)
      loss.mul(weightsFor(loss)).sum().backward()
      return [loss, x.grad]
    },
  })
  const weight = (device: Device): Tensor => tensor([0.5, 1, 2, 0.25], { device })
  return [
    ...pair("MSELoss", (reduction) => new nn.MSELoss({ reduction })),
    ...pair("L1Loss", (reduction) => new nn.L1Loss({ reduction })),
    ...pair("SmoothL1Loss", (reduction) => new nn.SmoothL1Loss({ reduction, beta: 0.5 })),
    ...pair("HuberLoss", (reduction) => new nn.HuberLoss({ reduction, delta: 0.7 })),
    ...pair("BCELoss", (reduction) => new nn.BCELoss({ reduction }), true),
    ...pair("BCEWithLogitsLoss", (reduction) => new nn.BCEWithLogitsLoss({ reduction })),
    ...["NLLLoss", "CrossEntropyLoss"].flatMap((op) => [
      ...reductions.map((reduction) => classes(op, reduction, () => ({ reduction }))),
      classes(op, "class weights", (device) => ({ weight: weight(device) })),
      classes(op, "an ignored class", () => ({ ignoreIndex: 1 })),
    ]),
    classes("CrossEntropyLoss", "label smoothing", () => ({ labelSmoothing: 0.1 })),
  ]
}

/** What training asks of an optimiser. */
interface Steps {
  zeroGrad(): void
  step(): void
}

/** Five steps of a small classifier: the losses on the way and the weights at the end. */
function training(
  op: string,
  id: string,
  make: (parameters: nn.Parameter[]) => Steps,
  clip?: (parameters: nn.Parameter[]) => void,
): Experiment {
  return {
    op,
    id,
    run: (device) => {
      const rnn = new nn.RNN(3, 6, { device, batchFirst: true })
      const head = new nn.Linear(6, 4, { device })
      const parameters = [...rnn.parameters(), ...head.parameters()]
      const optimizer = make(parameters)
      const [x, y] = [randn([7, 5, 3], { device }), randint(0, 4, [7], { device })]
      const seen: Tensor[] = []
      for (let i = 0; i < 5; i++) {
        optimizer.zeroGrad()
        const [output] = rnn.forward(x)
        const loss = new nn.CrossEntropyLoss().forward(head.forward(output.select(1, -1)), y)
        loss.backward()
        clip?.(parameters)
        optimizer.step()
        seen.push(loss.detach())
      }
      return [...seen, ...noGrad(() => parameters.map((p) => p.detach()))]
    },
  }
}

function trainings(): Experiment[] {
  return [
    training("SGD", "plain", (p) => new SGD(p, { lr: 0.1 })),
    training("SGD", "momentum", (p) => new SGD(p, { lr: 0.1, momentum: 0.9, dampening: 0.1, weightDecay: 0.01 })),
    training("SGD", "nesterov", (p) => new SGD(p, { lr: 0.1, momentum: 0.9, nesterov: true })),
    training("SGD", "clipped norm", (p) => new SGD(p, { lr: 0.1 }), (p) => void clipGradNorm_(p, 0.1)), // prettier-ignore
    training("SGD", "clipped values", (p) => new SGD(p, { lr: 0.1 }), (p) => void clipGradValue_(p, 0.01)), // prettier-ignore
    training("Adam", "plain", (p) => new Adam(p, { lr: 0.02 })),
    training("Adam", "amsgrad", (p) => new Adam(p, { lr: 0.02, amsgrad: true, weightDecay: 0.1, betas: [0.8, 0.99] })),
    training("AdamW", "plain", (p) => new AdamW(p, { lr: 0.02, weightDecay: 0.1 })),
  ]
}

export const modulesCheck: Check = {
  name: "modules",
  about: "Layers, losses and optimisers give the reference's values, gradients and training steps.",
  cases: (context) =>
    [...layers(), ...recurrents(), ...losses(), ...trainings()].map((one) => experimentCase(context, one)),
}
