// A training run that was stopped and goes on from its checkpoint is bit for bit the run that never stopped.
import { FormatError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import {
  loadCheckpoint,
  manualSeed,
  randn,
  randperm,
  saveCheckpoint,
  type Stateful,
  type Tensor,
  tensor,
  use,
} from "@rondo/core"
import { Dropout, Linear, Module, mseLoss, RNN } from "@rondo/nn"
import { beforeAll, describe, expect, it } from "vitest"
import { kinds } from "./goldens/problem.js"
import {
  Adam,
  type AnyScheduler,
  clipGradNorm_,
  CosineAnnealingWarmRestarts,
  ExponentialLR,
  LBFGS,
  LinearLR,
  OneCycleLR,
  ReduceLROnPlateau,
  SequentialLR,
  SGD,
} from "./index.js"

beforeAll(() => {
  use(new CpuJs())
})

class Net extends Module {
  readonly rnn = new RNN(3, 5, { numLayers: 2, dropout: 0.3, batchFirst: true })
  readonly drop = new Dropout(0.25)
  readonly out = new Linear(5, 1)
  forward(x: Tensor): Tensor {
    const [output] = this.rnn.forward(x)
    return this.out.forward(this.drop.forward(output.narrow(1, output.shape[1] - 1, 1).squeeze(1)))
  }
}

/** Hands out shuffled batches; its position is a part of the run. */
class Loader implements Stateful {
  #order: number[] = []
  #at = 0
  next(): number[] {
    if (this.#at >= this.#order.length) {
      this.#order = (randperm(12).tolistSync() as number[]).map(Number)
      this.#at = 0
    }
    return this.#order.slice(this.#at, (this.#at += 4))
  }
  stateDict() {
    return { order: this.#order, at: this.#at }
  }
  loadStateDict({ order, at }: { order: number[]; at: number }): void {
    this.#order = order
    this.#at = at
  }
}

type Optimiser = SGD | Adam | LBFGS
interface Run {
  readonly model: Net
  readonly optimizer: Optimiser
  readonly scheduler: AnyScheduler
  readonly loader: Loader
}

function make(kind: string, schedule: (optimizer: Optimiser) => AnyScheduler): Run {
  const model = new Net()
  const optimizer = new kinds[kind](model.parameters(), { lr: 0.02 }) as unknown as Optimiser
  return { model, optimizer, scheduler: schedule(optimizer), loader: new Loader() }
}

const data = (): [Tensor, Tensor] => {
  const generator = manualSeed(11)
  return [randn(12, 6, 3, { generator }), randn(12, 1, { generator })]
}

async function train(
  { model, optimizer, scheduler, loader }: Run,
  [x, y]: [Tensor, Tensor],
  steps: number,
): Promise<number[]> {
  const losses: number[] = []
  for (let step = 0; step < steps; step++) {
    const rows = tensor(loader.next(), { dtype: "int32" })
    const pick = (from: Tensor) => from.indexSelect(0, rows)
    const closure = (): Tensor => {
      optimizer.zeroGrad()
      const loss = mseLoss(model.forward(pick(x)), pick(y))
      loss.backward()
      clipGradNorm_(model.parameters(), 1)
      return loss
    }
    const loss = optimizer instanceof LBFGS ? await optimizer.step(closure) : optimizer.step(closure)
    const value = loss.itemSync()
    losses.push(value)
    if (scheduler instanceof ReduceLROnPlateau) scheduler.step(value)
    else scheduler.step()
  }
  return losses
}

const schedules: [string, (optimizer: Optimiser) => AnyScheduler][] = [
  ["ExponentialLR", (optimizer) => new ExponentialLR(optimizer, { gamma: 0.9 })],
  ["OneCycleLR", (optimizer) => new OneCycleLR(optimizer, { maxLr: 0.1, totalSteps: 20 })],
  ["ReduceLROnPlateau", (optimizer) => new ReduceLROnPlateau(optimizer, { patience: 1, factor: 0.5 })],
  [
    "SequentialLR",
    (optimizer) => {
      const parts = [
        new LinearLR(optimizer, { totalIters: 4 }),
        new CosineAnnealingWarmRestarts(optimizer, { t0: 3, tMult: 2 }),
      ]
      return new SequentialLR(optimizer, { schedulers: parts, milestones: [6] })
    },
  ],
]
const pairs = [
  ...schedules.map(([name, make]) => ["Adam", name, make] as const),
  ...Object.keys(kinds).map((kind) => [kind, ...schedules[0]] as const),
]

describe("resuming", () => {
  it.each(pairs)("%s with %s", async (kind, _, schedule) => {
    const rows = data()
    manualSeed(3)
    const whole = await train(make(kind, schedule), rows, 16)
    manualSeed(3)
    const stopped = make(kind, schedule)
    // 7 is in the middle of an epoch, of a cycle and of the warm-up.
    const head = await train(stopped, rows, 7)
    const file = await saveCheckpoint({ ...stopped, extra: { step: 7 } })
    // Another process: other seeds, other weights.
    manualSeed(99)
    const resumed = make(kind, schedule)
    await train(resumed, rows, 2)
    const { extra } = await loadCheckpoint(file, resumed)
    expect(extra).toEqual({ step: 7 })
    expect([...head, ...(await train(resumed, rows, 9))]).toEqual(whole)
    expect(new Set(whole).size).toBe(16)
  })
  it("leaves everything as it was if the file belongs to another run", async () => {
    const rows = data()
    manualSeed(3)
    const [adam, sgd] = [make("Adam", schedules[0][1]), make("SGD", schedules[0][1])]
    await train(adam, rows, 3)
    await train(sgd, rows, 3)
    const file = await saveCheckpoint(adam)
    const before = await saveCheckpoint(sgd)
    await expect(loadCheckpoint(file, sgd)).rejects.toThrow(FormatError)
    await expect(loadCheckpoint(file, sgd)).rejects.toThrow(
      /loadCheckpoint: optimizer: SGD.loadStateDict: step of parameter 0: unknown name/,
    )
    expect(await saveCheckpoint(sgd)).toEqual(before)
  })
})
