// Cases of gather and scatter: dims, dtypes, layouts, duplicates, and indices that are out of range.
import { type DType, IndexError, sizeOf, type View } from "@rondo/backend"
import { compareValues, hold } from "../../compare.js"
import { type Layout, type Memory, strays, withMemory } from "../../memory.js"
import { indexesOf, stored } from "../../naive.js"
import type { Case, Context } from "../../suite.js"

const filled = (count: number, dtype: DType, seed = 0): number[] => {
  const scale = dtype.includes("float") ? 0.5 : dtype === "uint32" ? 2 ** 28 - 1 : 1
  return Array.from({ length: count }, (_, i) => stored(((i * 13 + seed) % 23) * scale, dtype))
}
const places = (count: number, size: number): number[] =>
  Array.from({ length: count }, (_, i) => (i * 7 + (i >> 2)) % size)

interface Setup {
  readonly kind: "gather" | "add" | "replace"
  readonly shape: readonly number[]
  readonly dim: number
  readonly count: number
  readonly dtype: DType
  readonly index: DType
  readonly layout: Layout
}

const offsetIn = (shape: readonly number[], at: readonly number[]): number =>
  at.reduce((sum, k, d) => sum * shape[d] + k, 0)

/** What the storage that is written holds afterwards. */
function naive(
  { kind, dim, shape, dtype }: Setup,
  rows: readonly number[],
  index: readonly number[],
  x: readonly number[],
  source: readonly number[],
): number[] {
  const out = kind === "gather" ? new Array<number>(sizeOf(rows)) : [...x]
  indexesOf(rows).forEach((at, i) => {
    const there = offsetIn(shape, at.map((k, d) => (d === dim ? index[i] : k))) // prettier-ignore
    if (kind === "gather") out[i] = x[there]
    else out[there] = kind === "add" ? stored(out[there] + source[i], dtype) : source[i]
  })
  return out
}

function indexingCase(context: Context, setup: Setup): Case {
  const { kind, shape, dim, count, dtype, index, layout } = setup
  const rows = shape.map((size, d) => (d === dim ? count : size))
  const run: Case["run"] = (tolerance) =>
    withMemory(context.backend, async (memory) => {
      const [xs, is, ss] = [
        filled(sizeOf(shape), dtype),
        places(sizeOf(rows), shape[dim]),
        filled(sizeOf(rows), dtype, 3),
      ]
      const x = memory.view(dtype, shape, xs, layout)
      const i = memory.view(index, rows, is, layout)
      const out = kind === "gather" ? memory.empty(dtype, rows) : x
      if (kind === "gather") context.backend.run({ kind, dim }, [x, i], [out])
      else context.backend.run({ kind: "scatter", dim, mode: kind }, [i, memory.view(dtype, rows, ss, layout)], [x])
      const error = compareValues(
        await memory.read(out),
        naive(setup, rows, is, xs, ss),
        dtype,
        tolerance ?? { ulp: kind === "add" ? 2 : 0 },
      )
      const outside = strays(out, await memory.all(out))
      hold(outside.length === 0, `elements outside of the output were written: ${outside.join(", ")}`)
      return error
    })
  const op = kind === "gather" ? "gather" : `scatter.${kind}`
  return { id: `[${shape.join(", ")}] dim ${dim} x ${count} by ${index} ${layout}`, op, dtype, run }
}

/** A vector of indices shown under a larger shape by stride 0, as core does for rows. */
function rowsCase(context: Context, kind: "gather" | "add"): Case {
  const run = (): Promise<void> =>
    withMemory(context.backend, async (memory) => {
      const [table, list] = [filled(12, "float32"), [3, 0, 3, 1, 3]]
      const vector = memory.view("int32", [5], list)
      const wide: View = { ...vector, shape: [5, 3], strides: [1, 0] }
      const source = memory.view("float32", [5, 3], filled(15, "float32", 2))
      const target = memory.view("float32", [4, 3], table)
      const setup: Setup = { kind, shape: [4, 3], dim: 0, count: 5, dtype: "float32", index: "int32", layout: "plain" }
      const want = naive(
        setup,
        [5, 3],
        list.flatMap((i) => [i, i, i]),
        table,
        filled(15, "float32", 2),
      )
      const out = kind === "gather" ? memory.empty("float32", [5, 3]) : target
      if (kind === "gather") context.backend.run({ kind, dim: 0 }, [target, wide], [out])
      else context.backend.run({ kind: "scatter", dim: 0, mode: "add" }, [wide, source], [target])
      compareValues(await memory.read(out), want, "float32", { ulp: 2 })
    })
  return {
    id: "rows by an index of stride 0, with duplicates",
    op: kind === "gather" ? "gather" : "scatter.add",
    dtype: "float32",
    run,
  }
}

async function caught(context: Context, memory: Memory, body: () => View): Promise<unknown> {
  try {
    await memory.read(body())
    await context.backend.sync()
    return null
  } catch (error) {
    return error
  }
}

function rangeCase(context: Context, kind: "gather" | "add" | "replace", bad: number): Case {
  const run = (): Promise<void> =>
    withMemory(context.backend, async (memory) => {
      const before = filled(6, "float32")
      const x = memory.view("float32", [3, 2], before)
      const i = memory.view("int32", [2, 2], [0, 1, bad, 2])
      const source = memory.view("float32", [2, 2], [50, 51, 52, 53])
      const out = kind === "gather" ? memory.view("float32", [2, 2], [9, 9, 9, 9]) : x
      const untouched = await memory.read(out)
      const error = await caught(context, memory, () => {
        if (kind === "gather") context.backend.run({ kind, dim: 0 }, [x, i], [out])
        else context.backend.run({ kind: "scatter", dim: 0, mode: kind }, [i, source], [out])
        return out
      })
      hold(error instanceof IndexError, `index ${bad} of 3: got ${String(error)}, expected an IndexError`)
      hold(String(error).includes(String(bad)), `the message does not name the index: ${String(error)}`)
      compareValues(await memory.read(out), untouched, "float32", {}, { what: "after the error", source: "before" })
      // The device goes on working.
      context.backend.run(
        { kind: "gather", dim: 0 },
        [x, memory.view("int32", [1, 2], [1, 1])],
        [memory.empty("float32", [1, 2])],
      )
      await context.backend.sync()
    })
  return {
    id: `index ${bad} out of range`,
    op: kind === "gather" ? "gather" : `scatter.${kind}`,
    dtype: "float32",
    run,
  }
}

const geometries: readonly (readonly [readonly number[], number, number])[] = [
  [[5], 0, 8], [[4, 3], 0, 6], [[4, 3], 1, 2], [[2, 3, 4], 1, 5], [[2, 3, 4], 2, 1], [[3, 1, 2], 0, 3],
] // prettier-ignore

export function indexingCases(context: Context): Case[] {
  const kinds = ["gather", "add", "replace"] as const
  const plain = context.dtypes.flatMap((dtype) =>
    kinds
      .filter((kind) => kind !== "add" || dtype !== "bool")
      // Places are those of int32.
      .flatMap((kind) => geometries.slice(dtype === "uint32" ? 4 : 0).map(([shape, dim, count]) => indexingCase(context, { kind, shape, dim, count, dtype, index: "int32", layout: "plain" }))),
  ) // prettier-ignore
  const strided = kinds.flatMap((kind) =>
    (["permuted", "stepped", "reversed"] as const).flatMap((layout) =>
      geometries
        .slice(1, 4)
        .map(([shape, dim, count]) =>
          indexingCase(context, { kind, shape, dim, count, dtype: "float32", index: "int32", layout }),
        ),
    ),
  )
  const wide = context.dtypes.includes("int64") ? kinds.map((kind) => indexingCase(context, { kind, shape: [4, 3], dim: 0, count: 6, dtype: "float32", index: "int64", layout: "plain" })) : [] // prettier-ignore
  const ranges = kinds.flatMap((kind) => [3, -1, 2 ** 31 - 1].map((bad) => rangeCase(context, kind, bad)))
  return [...plain, ...strided, ...wide, rowsCase(context, "gather"), rowsCase(context, "add"), ...ranges]
}
