// Recurrent layers wider than a group of threads and longer than a few steps, against the reference. Recorded runs, which
// are small, are recurrent.ts's.
import { type Device, randn, type Tensor } from "@rondo/core"
import * as nn from "@rondo/nn"
import { tensorsIn } from "../calls.js"
import { weightsFor } from "../read.js"
import { type Experiment, input } from "./modules.js"

// None of these is a multiple of a power of two, and the width is more than 64.
const [inputs, hidden, small, time, batch] = [37, 70, 19, 9, 17]
const lengths = Array.from({ length: batch }, (_, b) => 1 + ((b * 5) % time))

/** Results, and gradients of a mean of them: sums over this many would be large beside the tolerance. */
function averaged(module: nn.Module, outputs: readonly Tensor[], leaves: readonly Tensor[]): Tensor[] {
  const total = outputs.map((y, i) => y.mul(weightsFor(y, i)).mean()).reduce((a, b) => a.add(b))
  total.backward()
  return [...outputs, ...[...module.parameters(), ...leaves].map((x) => x.grad as Tensor)]
}

type Make = (device: Device) => nn.RNN | nn.LSTM | nn.GRU

function layer(op: string, id: string, make: Make, packed: boolean): Experiment {
  return {
    op,
    id: `${id}, ${packed ? "packed" : `${time} x ${batch}`}, ${inputs} to ${hidden}`,
    run: (device) => {
      const module = make(device)
      const x = input(device, time, batch, inputs)
      const rows = module.numLayers * (module.bidirectional ? 2 : 1)
      const h0 = input(device, rows, batch, module.projSize || hidden)
      const states = module instanceof nn.LSTM ? [h0, input(device, rows, batch, hidden)] : [h0]
      const source = packed ? nn.packPaddedSequence(x, lengths, { enforceSorted: false }) : x
      const forward = (module as { forward(x: unknown, state: unknown): [Tensor | nn.PackedSequence, unknown] }).forward
      const [result, last] = forward.call(module, source, states.length === 2 ? states : h0)
      const output = nn.isPacked(result) ? nn.padPackedSequence(result)[0] : result
      return averaged(module, [output, ...tensorsIn(last)], [x, ...states])
    },
  }
}

function throughOutput(op: "OutputToHiddenRNN" | "OutputToOutputRNN", forcing: number): Experiment {
  return {
    op,
    id: `${time} x ${batch}, ${inputs} to ${hidden} to ${small}, forcing ${forcing}`,
    run: (device) => {
      const module = new nn[op](inputs, hidden, small, { device })
      const [x, o0] = [input(device, time, batch, inputs), input(device, batch, small)]
      const targets = randn([time, batch, small], { device })
      return averaged(module, module.forward(x, o0, { targets, forcing }), [x, o0])
    },
  }
}

/** Experiments whose results a backend must share with the reference. */
export function wideExperiments(): Experiment[] {
  const kinds: readonly [op: string, id: string, make: Make][] = [
    ["RNN", "wide", (device) => new nn.RNN(inputs, hidden, { device, bidirectional: true })],
    ["RNN", "wide, relu", (device) => new nn.RNN(inputs, hidden, { device, nonlinearity: "relu" })],
    ["LSTM", "wide", (device) => new nn.LSTM(inputs, hidden, { device, bidirectional: true })],
    ["LSTM", "wide, projected", (device) => new nn.LSTM(inputs, hidden, { device, projSize: 33, numLayers: 2 })],
    ["GRU", "wide", (device) => new nn.GRU(inputs, hidden, { device, numLayers: 2, bidirectional: true })],
  ]
  return [
    ...kinds.flatMap((kind) => [layer(...kind, false), layer(...kind, true)]),
    ...(["OutputToHiddenRNN", "OutputToOutputRNN"] as const).flatMap((op) => [throughOutput(op, 1), throughOutput(op, 0.5)]), // prettier-ignore
  ]
}
