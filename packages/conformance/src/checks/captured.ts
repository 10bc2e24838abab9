// Check: what is captured gives, replay for replay, the numbers of the ordinary call: every operation with its gradients, and
// training steps of layers with their optimisers.
import { type DType, isFloat, RondoError } from "@rondo/backend"
import { capture, type Device, dropoutMask, manualSeed, randn, type Tensor, uncaptured, zeros } from "@rondo/core"
import * as nn from "@rondo/nn"
import { Adam, clipGradNorm_, type Optimizer, RMSprop, SGD } from "@rondo/optim"
import { type Call, isDifferentiable, opCalls, place, synchronousNames, tensorsIn } from "../calls.js"
import { compareHosts, hold } from "../compare.js"
import { gradients, readAll } from "../read.js"
import type { Case, Check, Context } from "../suite.js"
import { dtypeOf } from "./purity.js"

const exact = {}
// As it is, recorded, replayed.
const times = [1, 2, 3]

async function compareAll(got: readonly Tensor[], want: readonly Tensor[], what: string): Promise<void> {
  hold(got.length === want.length, `${what}: got ${got.length} tensors, expected ${want.length}`)
  const expected = await readAll(want)
  for (const [i, value] of (await readAll(got)).entries()) {
    compareHosts(value, expected[i], exact, {
      what: `${what}, tensor ${i}`,
      source: "the ordinary call",
      signedZero: true,
    })
  }
}

/** Operations that ask the device for values, as how many elements a mask picks: they say so when they are captured. */
const reading = ["index", "maskedSelectSync", "nonzeroSync"]
const readsValues = /cannot be captured: it reads values/

async function compareCall(context: Context, call: Call, dtype: DType): Promise<void> {
  const grads = isDifferentiable(call.name) && isFloat(dtype)
  const tensors = place(call, context.device, dtype, grads)
  const body = (): Tensor[] => {
    const outputs = call.run(tensors)
    return [...outputs, ...(grads ? gradients(outputs, tensors) : []).filter((g) => g !== null)]
  }
  let expected: Tensor[]
  try {
    expected = body()
  } catch (error) {
    // What an operation refuses, the other checks compare.
    if (error instanceof RondoError) return
    throw error
  }
  const captured = capture(body)
  try {
    for (const time of times) await compareAll(captured(), expected, `${call.label}, call ${time}`)
    hold(captured.recordings === 1, `${call.label}: was recorded ${captured.recordings} times, expected once`)
  } catch (error) {
    if (!reading.includes(call.name) || !readsValues.test(String(error))) throw error
  }
  captured.dispose()
}

function operationCase(context: Context, name: string): Case {
  const run = async (): Promise<void> => {
    for (const call of opCalls(name)) {
      const dtype = dtypeOf(context, call)
      if (dtype !== null && !call.inPlace) await compareCall(context, call, dtype)
    }
  }
  return { id: "every call", op: name, dtype: "float32", run }
}

/** A training step, and everything that it changes. */
interface Training {
  readonly step: (x: Tensor) => unknown
  readonly changed: () => readonly (Tensor | null)[]
}

const optimizers: readonly ((p: readonly Tensor[]) => Optimizer<object> & { step(): unknown })[] = [
  (p) => new Adam(p, { lr: 0.05, weightDecay: 0.01 }),
  (p) => new SGD(p, { lr: 0.1, momentum: 0.9, nesterov: true }),
  (p) => new RMSprop(p, { lr: 0.02, centered: true }),
]

function training(
  module: nn.Module,
  forward: (x: Tensor) => Tensor,
  optimizer: Optimizer<object> & { step(): unknown },
): Training {
  // prettier-ignore
  const parameters = [...module.parameters()]
  const step = (x: Tensor): Tensor => {
    optimizer.zeroGrad()
    const loss = forward(x).square().mean()
    loss.backward()
    clipGradNorm_(parameters, 0.5)
    optimizer.step()
    return loss
  }
  const states = () => [...optimizer.state.values()].flatMap((state) => tensorsIn(state))
  return { step, changed: () => [...parameters, ...parameters.map((p) => p.grad), ...module.buffers(), ...states()] }
}

/** The outputs of a recurrent layer without its states. */
const outputs =
  (layer: nn.RNN | nn.GRU | nn.LSTM) =>
  (x: Tensor): Tensor =>
    (layer as { forward(x: Tensor): readonly unknown[] }).forward(x)[0] as Tensor

/** By name: made on a device from a seed. Inputs are [5, 2, 3]. */
const trainings: Readonly<Record<string, (device: Device) => Training>> = {
  RNN: (device) => {
    const layer = new nn.RNN(3, 4, { device, numLayers: 2 })
    return training(layer, outputs(layer), optimizers[0](layer.parameters()))
  },
  LSTM: (device) => {
    const layer = new nn.LSTM(3, 4, { device, bidirectional: true, batchFirst: true })
    return training(layer, outputs(layer), optimizers[1](layer.parameters()))
  },
  GRU: (device) => {
    const layer = new nn.GRU(3, 4, { device, numLayers: 2, dropout: 0.4 })
    return training(layer, outputs(layer), optimizers[2](layer.parameters()))
  },
  "LSTM with a projection": (device) => {
    const layer = new nn.LSTM(3, 4, { device, projSize: 2 })
    return training(layer, outputs(layer), optimizers[0](layer.parameters()))
  },
  "LayerNorm and Linear": (device) => {
    const model = new nn.Sequential(
      new nn.Linear(3, 4, { device }),
      new nn.LayerNorm(4, { device }),
      new nn.Dropout(0.3),
    )
    return training(model, (x) => model.forward(x) as Tensor, optimizers[1]([...model.parameters()]))
  },
  "a state in place": (device) => {
    const [cell, h] = [new nn.GRUCell(3, 4, { device }), zeros(2, 4, { device })]
    const step = (x: Tensor): void => {
      const next = cell.forward(x.select(0, 0), h).detach()
      h.copy_(next.mul(dropoutMask(next, 0.2)))
      uncaptured(() => void h.mul_(0.5))
    }
    return { step, changed: () => [h] }
  },
}

function trainingCase(context: Context, name: string): Case {
  const on = (capturing: boolean) => {
    manualSeed(5)
    const { step, changed } = trainings[name](context.device)
    const call = capturing ? capture((x: Tensor) => void step(x)) : step
    // Inputs of two lengths, and a gradient that is not there in between.
    for (let i = 0; i < 9; i++) call(randn(i % 3 === 2 ? 4 : 5, 2, 3, { device: context.device }))
    return changed().filter((x) => x !== null)
  }
  return {
    id: "nine steps",
    op: name,
    dtype: "float32",
    run: () => compareAll(on(true), on(false), "after nine steps"),
  }
}

export const capturedCheck: Check = {
  name: "captured",
  about:
    "What is captured gives, replay for replay, the numbers of the ordinary call: operations with their gradients, training steps.",
  cases: (context) => [
    ...synchronousNames().map((name) => operationCase(context, name)),
    ...Object.keys(trainings).map((name) => trainingCase(context, name)),
  ],
}
