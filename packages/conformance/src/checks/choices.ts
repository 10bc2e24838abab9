// What the recorded runs of recurrent layers must hold between them: every class of nn, and every option. Runs nothing.
import * as nn from "@rondo/nn"
import { hold } from "../compare.js"
import type { GoldenRun } from "../goldens.js"
import type { Case } from "../suite.js"

type Holds = (run: GoldenRun) => boolean

const option = (run: GoldenRun, key: string): unknown => run.options?.[key]
const dropping: Holds = (run) => Number(option(run, "dropout") ?? 0) > 0
const hasInput = (run: GoldenRun, name: string): boolean => run.inputs.some(([own]) => own === name)
const projected: Holds = (run) => Number(option(run, "projSize") ?? 0) > 0
const deep: Holds = (run) => option(run, "numLayers") === 2
const both: Holds = (run) => option(run, "bidirectional") === true
const all = (...list: readonly Holds[]): Holds => (run) => list.every((one) => one(run)) // prettier-ignore
const not = (one: Holds): Holds => (run) => !one(run) // prettier-ignore

const shared: Readonly<Record<string, Holds>> = {
  "without biases": (run) => option(run, "bias") === false,
  "from default states": (run) => !hasInput(run, "h0") && !hasInput(run, "o0"),
  "from given states": (run) => hasInput(run, "h0") || hasInput(run, "o0"),
}
const unbatched: Holds = (run) => run.inputs[0][1].length === 2
const batchFirst: Holds = (run) => option(run, "batchFirst") === true

const packedSorted: Holds = (run) => run.enforceSorted === true
const packedUnsorted: Holds = (run) => run.enforceSorted === false

const layer: Readonly<Record<string, Holds>> = {
  ...shared,
  unbatched: all(unbatched, (run) => !run.lengths),
  "batch first": batchFirst,
  "one layer": (run) => (option(run, "numLayers") ?? 1) === 1,
  "two layers": deep,
  "three layers": (run) => option(run, "numLayers") === 3,
  bidirectional: all(both, (run) => !run.lengths),
  "dropout in training": all(dropping, (run) => run.training !== false),
  "dropout in evaluation": all(dropping, (run) => run.training === false),
  ...Object.fromEntries(
    [packedSorted, packedUnsorted].flatMap((order, i) => {
      const word = `packed, ${i === 0 ? "sorted" : "unsorted"}`
      return [
        [`${word}, one layer`, all(order, not(deep), not(both))],
        [`${word}, two layers both ways, default states`, all(order, deep, both, shared["from default states"])],
        [`${word}, two layers both ways, given states`, all(order, deep, both, shared["from given states"])],
        [`${word}, a list`, all(order, (run) => hasInput(run, "x0"))],
        [`${word}, dropout`, all(order, dropping)],
      ] as [string, Holds][]
    }),
  ),
}
const output: Readonly<Record<string, Holds>> = {
  ...shared,
  unbatched,
  "batch first": batchFirst,
  "free running": (run) => run.forcing === null,
  "teacher forcing": (run) => run.forcing === 1,
  "forcing now and then": (run) => run.forcing === 0.5,
  "forcing never": (run) => run.forcing === 0,
  ...Object.fromEntries(
    ["tanh", "relu", "sigmoid", "identity"].flatMap((name) =>
      ["nonlinearity", "outputNonlinearity"].map((key) => [`${key} ${name}`, (run: GoldenRun) => option(run, key) === name]),
    ),
  ),
} // prettier-ignore
const cell: Readonly<Record<string, Holds>> = { ...shared, unbatched }
const relu: Readonly<Record<string, Holds>> = { relu: (run) => option(run, "nonlinearity") === "relu" }
const order = { sorted: packedSorted, unsorted: packedUnsorted }

/** By class or function: what at least one run must have. */
const choices: Readonly<Record<string, Readonly<Record<string, Holds>>>> = {
  RNN: { ...layer, ...relu, "relu, packed": all(relu.relu, packedUnsorted) },
  GRU: layer,
  LSTM: {
    ...layer,
    ...Object.fromEntries(
      ["padded", "sorted", "unsorted"].flatMap((word, i) => {
        const layout: Holds = [(run: GoldenRun) => !run.lengths, packedSorted, packedUnsorted][i]
        return [
          [`projected, ${word}, one layer`, all(projected, layout, not(deep), not(both))],
          [`projected, ${word}, one layer both ways`, all(projected, layout, not(deep), both)],
          [`projected, ${word}, two layers`, all(projected, layout, deep, not(both))],
          [`projected, ${word}, two layers both ways`, all(projected, layout, deep, both)],
        ] as [string, Holds][]
      }),
    ),
  },
  RNNCell: { ...cell, ...relu },
  LSTMCell: cell,
  GRUCell: cell,
  OutputToHiddenRNN: output,
  OutputToOutputRNN: output,
  packPaddedSequence: { ...order, "batch first": batchFirst },
  packSequence: order,
  padPackedSequence: { ...order, "a total length": (run) => typeof run.pad?.totalLength === "number" },
  padSequence: { "a padding value": (run) => run.pad?.paddingValue !== 0 },
  unpackSequence: order,
  unpadSequence: { "batch first": batchFirst },
}

/** What nn has that is recurrent, or packs: its exports, so that nothing new stays out. */
function recurrentNames(): string[] {
  const bases = [nn.RecurrentLayer, nn.RecurrentCell, nn.OutputRecurrentLayer].map((base) => base.prototype as object)
  return Object.entries(nn).flatMap(([name, value]) => {
    if (typeof value !== "function") return []
    const isLayer = bases.some((base) => Object.prototype.isPrototypeOf.call(base, (value as { prototype?: object }).prototype ?? {})) // prettier-ignore
    return isLayer || /^(un)?(pack|pad)[A-Za-z]*Sequence$/.test(name) ? [name] : []
  })
}

/** Everything recurrent must be replayed and recorded, in every option. */
export function choiceCases(runs: readonly GoldenRun[], replayed: readonly string[]): Case[] {
  return [...new Set([...recurrentNames(), ...replayed])].map((op) => ({
    id: "is recorded in every option",
    op,
    dtype: "-",
    run: () => {
      hold(replayed.includes(op), "is exported by nn, and nothing replays it: add it to replays")
      const own = runs.filter((run) => run.op === op)
      hold(own.length > 0, "has no recorded runs: add some to goldens/ops_recurrent.py and run ops.py")
      const missing = Object.entries(choices[op] ?? {}).flatMap(([name, holds]) => (own.some(holds) ? [] : [name]))
      hold(choices[op] !== undefined && missing.length === 0, `has no recorded run: ${missing.join("; ") || "no choices are listed"}`) // prettier-ignore
    },
  }))
}
