// Check: recurrent layers, cells, packing and recurrence through the output, with every option, give PyTorch's values and
// gradients: those of results with respect to inputs, states and all parameters. What must be recorded is choices.ts's.
import { type DType, sizeOf } from "@rondo/backend"
import { type Device, encode, manualSeed, type Tensor, upload } from "@rondo/core"
import * as nn from "@rondo/nn"
import { tensorsIn } from "../calls.js"
import { compareHosts, fail, hold, type Host, type Tolerance } from "../compare.js"
import type { Goldens, GoldenRun, GoldenShape } from "../goldens.js"
import { read, weightsFor } from "../read.js"
import type { Case, Check, Context } from "../suite.js"
import { choiceCases } from "./choices.js"
import { experimentCase } from "./modules.js"
import { wideExperiments } from "./wide.js"

type Tensors = Readonly<Record<string, Tensor>>

/** What a run gave: tensors by the names of the file, and plain data. */
interface Result {
  readonly outputs: Tensors
  readonly facts: Readonly<Record<string, unknown>>
}

/** The widths that one record, in float64 from numbers that float32 has, judges. */
const widths = ["float32", "float64"] as const satisfies DType[]

// Roundings are carried on from step to step, and gradients are sums over all of them.
const carried = (dtype: DType): Tolerance =>
  dtype === "float64" ? { rtol: 1e-9, atol: 1e-11 } : { rtol: 1e-4, atol: 1e-5 }

// ---- how each kind of run is replayed

type Packable = { forward(x: unknown, state?: unknown): [Tensor | nn.PackedSequence, Tensor | Tensor[]] } & nn.Module

/** Sequences as a list: x0, x1, … */
const listOf = (inputs: Tensors): Tensor[] => Object.keys(inputs).filter((key) => /^x\d+$/.test(key)).map((key) => inputs[key]) // prettier-ignore

const stateOf = ({ h0, c0 }: Tensors): unknown => (c0 ? [h0, c0] : h0)

const layoutOf = ({ batchSizes, sortedIndices, unsortedIndices }: nn.PackedSequence): Result["facts"] => ({
  batchSizes,
  sortedIndices,
  unsortedIndices,
})

function packed({ lengths = [], options, enforceSorted }: GoldenRun, inputs: Tensors): nn.PackedSequence {
  const batchFirst = options?.batchFirst === true
  return inputs.x
    ? nn.packPaddedSequence(inputs.x, lengths, { batchFirst, enforceSorted })
    : nn.packSequence(listOf(inputs), { enforceSorted })
}

function replayLayer(run: GoldenRun, inputs: Tensors, module: nn.Module): Result {
  const source = run.lengths ? packed(run, inputs) : inputs.x
  const [result, last] = (module as Packable).forward(source, stateOf(inputs))
  const [hn, cn] = tensorsIn(last)
  const finals: Tensors = cn ? { hn, cn } : { hn }
  if (!nn.isPacked(result)) return { outputs: { output: result, ...finals }, facts: {} }
  const [padded, lengths] = nn.padPackedSequence(result, { batchFirst: run.options?.batchFirst === true, ...run.pad })
  return { outputs: { data: result.data, padded, ...finals }, facts: { ...layoutOf(result), lengths } }
}

/** Two steps or more, each from the state behind the last. */
function replayCell(_: GoldenRun, inputs: Tensors, module: nn.Module): Result {
  const outputs: Record<string, Tensor> = {}
  let state = stateOf(inputs)
  inputs.x.unbind(0).forEach((x, i) => {
    const next = (module as unknown as { forward(x: Tensor, state: unknown): unknown }).forward(x, state)
    const [h, c] = tensorsIn(next)
    outputs[`h${i + 1}`] = h
    if (c) outputs[`c${i + 1}`] = c
    state = next
  })
  return { outputs, facts: {} }
}

function replayOutput({ forcing }: GoldenRun, { x, o0, targets }: Tensors, module: nn.Module): Result {
  const options = targets ? { targets, forcing: forcing ?? 1 } : {}
  const [output, last, hidden] = (module as nn.OutputRecurrentLayer).forward(x, o0, options)
  return { outputs: { output, last, hidden }, facts: {} }
}

const numbered = (list: readonly Tensor[]): Result => ({
  outputs: Object.fromEntries(list.map((y, i) => [`y${i}`, y])),
  facts: {},
})

function replayPacking(run: GoldenRun, inputs: Tensors): Result {
  const sequence = packed(run, inputs)
  return { outputs: { data: sequence.data }, facts: layoutOf(sequence) }
}

type Replay = (run: GoldenRun, inputs: Tensors, module: nn.Module) => Result

/** By class or function of nn. */
export const replays: Readonly<Record<string, Replay>> = {
  RNN: replayLayer,
  LSTM: replayLayer,
  GRU: replayLayer,
  RNNCell: replayCell,
  LSTMCell: replayCell,
  GRUCell: replayCell,
  OutputToHiddenRNN: replayOutput,
  OutputToOutputRNN: replayOutput,
  packPaddedSequence: replayPacking,
  packSequence: replayPacking,
  padPackedSequence: (run, inputs) => {
    const [padded, lengths] = nn.padPackedSequence(packed(run, inputs), run.pad)
    return { outputs: { padded }, facts: { lengths } }
  },
  padSequence: (run, inputs) => ({ outputs: { padded: nn.padSequence(listOf(inputs), run.pad) }, facts: {} }),
  unpackSequence: (run, inputs) => numbered(nn.unpackSequence(packed(run, inputs))),
  unpadSequence: ({ lengths = [], options }, { x }) => numbered(nn.unpadSequence(x, lengths, options)),
}

// ---- from the file to tensors, and back

/** The tensors of a vector of the file, one after another. */
function parts(goldens: Goldens, vector: string, shapes: readonly GoldenShape[], dtype: DType): [string, Host][] {
  const { values } = goldens.tensor(vector)
  const all = Array.from(values)
  let at = 0
  const found = shapes.map(([name, shape]): [string, Host] => {
    const from = at
    at += sizeOf(shape)
    return [name, { dtype, shape, values: all.slice(from, at) }]
  })
  hold(at === all.length, `goldens: ${vector} has ${all.length} numbers, its names stand for ${at}`)
  return found
}

const uploaded = (device: Device, { dtype, shape, values }: Host): Tensor =>
  upload(device, encode(Array.from(values), dtype), shape, dtype)

type Make = new (...args: unknown[]) => nn.Module

/** The layer with the weights of the file, which must be all that it has; for functions, a module without anything. */
function moduleOf(run: GoldenRun, weights: Tensors, device: Device, dtype: DType): nn.Module {
  const { op, sizes, options, training = true } = run
  if (!sizes) return new nn.Identity()
  const module = new (nn as unknown as Record<string, Make>)[op](...sizes, { ...options, device, dtype })
  const [own, theirs] = [module.namedParameters().map(([name]) => name).join(), Object.keys(weights).join()] // prettier-ignore
  hold(own === theirs, `got parameters ${own}, PyTorch ${theirs}`)
  module.loadStateDict(weights)
  return module.train(training)
}

/** The sum that PyTorch went backward from. */
function total(run: GoldenRun, { outputs }: Result): Tensor {
  const names = run.outputs.map(([name]) => name).join()
  hold(Object.keys(outputs).join() === names, `got results ${Object.keys(outputs).join()}, PyTorch ${names}`)
  const sums = run.outputs.map(([name], i) => outputs[name].mul(weightsFor(outputs[name], i)).sum())
  return sums.reduce((a, b) => a.add(b))
}

interface Replayed {
  readonly result: Result
  /** Of inputs, then of parameters. */
  readonly gradients: readonly (readonly [name: string, gradient: Tensor | null])[]
}

async function replay(
  goldens: Goldens,
  run: GoldenRun,
  place: { readonly device: Device; readonly dtype: DType; readonly stepwise: boolean },
): Promise<Replayed> {
  const { device, dtype, stepwise } = place
  const f = replays[run.op]
  if (!f) return fail(`nothing replays ${run.op}`)
  const given = parts(goldens, `${run.name}.in`, [...run.inputs, ...run.parameters], dtype)
  const placed = given.map(([name, host]): [string, Tensor] => [name, uploaded(device, host)])
  const inputs = Object.fromEntries(placed.slice(0, run.inputs.length).map(([name, x]) => [name, x.requiresGrad_()]))
  const module = moduleOf(run, Object.fromEntries(placed.slice(run.inputs.length)), device, dtype)
  let result: Result | null = null
  const compute = (): Tensor => {
    if (run.seed !== undefined) manualSeed(run.seed)
    result = f(run, inputs, module)
    return (loss = total(run, result))
  }
  let loss: Tensor
  // Whoever listens to single steps keeps the layers from handing whole sequences to one kernel.
  if (stepwise) await nn.gradientFlow(compute)
  else compute()
  loss!.backward()
  const leaves: readonly (readonly [string, Tensor])[] = [...Object.entries(inputs), ...module.namedParameters()]
  return { result: result!, gradients: leaves.map(([name, x]) => [name, x.grad]) }
}

// ---- cases

/** True for runs that have a way without single steps: those are replayed both ways. */
const hasShortcut = ({ op, options = {}, forcing }: GoldenRun): boolean =>
  forcing === 1 || (/^(RNN|LSTM|GRU)$/.test(op) && options.numLayers === 2 && options.bidirectional === true)

async function compareRun(
  context: Context,
  goldens: Goldens,
  run: GoldenRun,
  place: { readonly dtype: DType; readonly stepwise: boolean; readonly tolerance: Tolerance | null },
): Promise<number> {
  const { dtype, tolerance } = place
  const { result, gradients } = await replay(goldens, run, { device: context.device, ...place })
  const facts = JSON.stringify(result.facts)
  if (run.facts) hold(facts === JSON.stringify(run.facts), `got ${facts}, PyTorch ${JSON.stringify(run.facts)}`)
  const got = [...run.outputs.map(([name]) => [name, result.outputs[name]] as const), ...gradients]
  const shapes = [...run.outputs, ...run.inputs, ...run.parameters]
  const wanted = parts(goldens, `${run.name}.out`, shapes, dtype)
  let worst = 0
  for (const [i, [name, want]] of wanted.entries()) {
    const y = got[i][1]
    const what = i < run.outputs.length ? name : `gradient of ${name}`
    // PyTorch says zeros where nothing flows; none is as good.
    if (y === null) hold(Array.from(want.values).every((x) => x === 0), `${what}: got none, PyTorch some`) // prettier-ignore
    else worst = Math.max(worst, compareHosts(await read(y), want, tolerance ?? carried(dtype), { what, source: "PyTorch" })) // prettier-ignore
  }
  return worst
}

function casesOf(context: Context, goldens: Goldens, run: GoldenRun): Case[] {
  const options = run.options && Object.keys(run.options).length > 0 ? `${JSON.stringify(run.options)} ` : ""
  const ways = hasShortcut(run) ? [false, true] : [false]
  const widthsHere = widths.filter((dtype) => context.dtypes.includes(dtype))
  return widthsHere.flatMap((dtype) =>
    ways.map((stepwise) => ({
      id: `${options}${run.how}${stepwise ? ", step by step" : ""}`,
      op: run.op,
      dtype,
      run: (tolerance) => compareRun(context, goldens, run, { dtype, stepwise, tolerance }),
    })),
  )
}

export const recurrentCheck: Check = {
  name: "recurrent",
  about:
    "Recurrent layers and cells, packed sequences and recurrence through the output give PyTorch 1.13.1's values and gradients, in every option.",
  cases: (context) => {
    const { goldens } = context
    if (!goldens)
      return [
        { id: "file", op: "recurrent", dtype: "-", run: () => fail("no golden values were given: pass options.goldens") }, // prettier-ignore
      ]
    return [
      ...choiceCases(goldens.recurrent, Object.keys(replays)),
      ...goldens.recurrent.flatMap((run) => casesOf(context, goldens, run)),
      ...wideExperiments().map((one) => experimentCase(context, one)),
    ]
  },
}
