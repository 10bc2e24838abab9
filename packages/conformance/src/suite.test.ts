// The suite itself: it finds faults that are put into a backend, and its list of deviations can only shrink.
import { type Backend, type Kernel, type Storage, type View } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { describe, expect, test } from "vitest"
import { compareValues, ulpOf } from "./compare.js"
import type { Deviation } from "./deviation.js"
import { readGoldens } from "./node/files.js"
import { runSuite } from "./run.js"

/** The reference with one fault. */
function faulty(fault: (backend: CpuJs) => Partial<Backend>): Backend {
  const inner = new CpuJs()
  const own: Backend = {
    name: "faulty",
    capabilities: inner.capabilities,
    alloc: (bytes) => inner.alloc(bytes),
    free: (storage) => inner.free(storage),
    write: (storage, data, offset) => inner.write(storage, data, offset),
    read: (storage, offset, length) => inner.read(storage, offset, length),
    readSync: (storage, offset, length) => inner.readSync(storage, offset, length),
    run: (kernel, inputs, outputs, scalars) => inner.run(kernel, inputs, outputs, scalars),
    sync: () => inner.sync(),
    memory: () => inner.memory(),
  }
  return Object.assign(own, fault(inner))
}

type Run = (kernel: Kernel, inputs: readonly View[], outputs: readonly View[], scalars?: readonly number[]) => void

const faults: readonly [name: string, check: string, run: (inner: CpuJs) => Run][] = [
  ["sums without their last element", "kernels", (inner) => (kernel, inputs, outputs, scalars) => {
    const d = kernel.kind === "reduce" && kernel.op === "sum" ? kernel.dims.find((dim) => inputs[0].shape[dim] > 4) : undefined
    const cut = (x: View): View => ({ ...x, shape: x.shape.map((size, i) => (i === d ? size - 1 : size)) })
    inner.run(kernel, d === undefined ? inputs : inputs.map(cut), outputs, scalars)
  }],
  ["strides that are ignored", "layouts", (inner) => (kernel, inputs, outputs, scalars) => {
    const flat = (x: View): View => ({ ...x, strides: x.strides.map((s) => Math.abs(s)), offset: x.strides.some((s) => s < 0) ? 0 : x.offset })
    inner.run(kernel, inputs.map(flat), outputs, scalars)
  }],
  ["a matmul that forgets the bias", "forward", (inner) => (kernel, inputs, outputs, scalars) =>
    inner.run(kernel.kind === "matmul" ? { ...kernel, bias: false } : kernel, inputs.filter((_, i) => kernel.kind !== "matmul" || i !== 2), outputs, scalars)],
  ["a sort that is not stable", "kernels", (inner) => (kernel, inputs, outputs, scalars) => {
    inner.run(kernel, inputs, outputs, scalars)
    if (kernel.kind === "sort") inner.run({ kind: "map", exprs: [{ kind: "const", value: 0, dtype: "int32" }] }, [], [outputs[1]])
  }],
  ["gradients of another model", "modules", (inner) => (kernel, inputs, outputs, scalars) =>
    inner.run(kernel, inputs, outputs, kernel.kind === "map" ? scalars?.map((x) => x * 1.01) : scalars)],
  ["sequences that are always read forwards", "recurrent", (inner) => (kernel, inputs, outputs, scalars) =>
    inner.run(kernel.kind === "recurrent" ? { ...kernel, reverse: false } : kernel, inputs, outputs, scalars)],
  ["gradients that run the wrong way through time", "recurrent", (inner) => (kernel, inputs, outputs, scalars) =>
    inner.run(kernel.kind === "recurrentBackward" ? { ...kernel, reverse: !kernel.reverse } : kernel, inputs, outputs, scalars)],
] // prettier-ignore

describe("faults that are put into a backend", () => {
  test.each(faults)("%s", async (_, check, run) => {
    const report = await runSuite(() => faulty((inner) => ({ run: run(inner) })), {
      reference: () => new CpuJs(),
      goldens: readGoldens,
      only: [check],
    })
    expect(report.totals.fail).toBeGreaterThan(0)
    expect(report.failures[0]).toMatch(new RegExp(`^${check} `))
  })

  test("memory that never comes back", async () => {
    const report = await runSuite(() => faulty(() => ({ free: (_: Storage) => undefined })), {
      reference: () => new CpuJs(),
      only: ["leaks"],
    })
    expect(report.totals.fail).toBeGreaterThan(100)
  })
})

const offProducts =
  (inner: CpuJs): Run =>
  (kernel, inputs, outputs, scalars) => {
    inner.run(kernel, inputs, outputs, scalars)
    // Off by far more than a rounding in one kernel alone.
    if (kernel.kind === "reduce" && kernel.op === "prod" && outputs[0].dtype === "float32") {
      const { storage, offset } = outputs[0]
      const value = new Float32Array(inner.readSync(storage, offset * 4, 4))
      inner.write(storage, new Float32Array([value[0] * 1.001]), offset * 4)
    }
  }

async function failuresWith(
  deviations: readonly Deviation[],
  backend: () => Backend,
): Promise<{ failures: readonly string[]; skip: number }> {
  const { checks } = await import("./checks/index.js")
  const { closeContext, byOp, openContext, runCases } = await import("./suite.js")
  const { Ledger } = await import("./deviation.js")
  const context = await openContext(backend, { reference: () => new CpuJs() })
  const ledger = new Ledger(deviations)
  const kernels = checks().find((check) => check.name === "kernels")!
  const cases = byOp(kernels.cases(context)).get("reduce.prod")!
  const rows = await runCases(context, "kernels", cases, ledger)
  await closeContext(context)
  return {
    failures: [...rows.flatMap((row) => row.failures), ...ledger.leftOver()],
    skip: rows.reduce((n, row) => n + row.skipped, 0),
  }
}

describe("deviations", () => {
  const wrong = (): Backend => faulty((inner) => ({ run: offProducts(inner) }))
  const base = { check: "kernels", op: "reduce.prod", dtype: "float32", reason: "products are off" } as const

  test("without one, the fault fails and is named with its case", async () => {
    const { failures } = await failuresWith([], wrong)
    expect(failures.length).toBeGreaterThan(5)
    expect(failures[0]).toMatch(/^kernels reduce\.prod float32 \[7\] over \[0\] plain: element 0: got .*, reference /)
  })
  test("a wider tolerance that is needed passes", async () => {
    expect((await failuresWith([{ ...base, kind: "tolerance", tolerance: { rtol: 0.01 } }], wrong)).failures).toEqual(
      [],
    )
  })
  test("a tolerance that is too narrow still fails", async () => {
    const { failures } = await failuresWith([{ ...base, kind: "tolerance", tolerance: { rtol: 1e-5 } }], wrong)
    expect(failures[0]).toContain("even at the tolerance of")
  })
  test("a tolerance that nothing needs fails", async () => {
    const { failures } = await failuresWith(
      [{ ...base, kind: "tolerance", tolerance: { rtol: 0.01 } }],
      () => new CpuJs(),
    )
    expect(failures).toEqual([expect.stringContaining("is not needed by any case: remove it")])
  })
  test("a skip of what would pass fails", async () => {
    const { failures } = await failuresWith([{ ...base, kind: "skip", case: /over \[0\] plain/ }], () => new CpuJs())
    expect(failures[0]).toContain("no longer deviates")
  })
  test("a skip of what fails is counted, and is not a pass", async () => {
    const { failures, skip } = await failuresWith([{ ...base, kind: "skip", case: "[7] over [0] plain" }], wrong)
    expect(skip).toBe(1)
    expect(failures.some((text) => text.includes("[7] over [0] plain"))).toBe(false)
  })
  test("one that matches nothing fails", async () => {
    const { failures } = await failuresWith([{ ...base, op: "reduce.product", kind: "skip" }], () => new CpuJs())
    expect(failures).toEqual([expect.stringContaining("matches no case: remove it")])
  })
  test("one without a reason, or with a tolerance it cannot have, is refused", async () => {
    await expect(failuresWith([{ ...base, reason: " ", kind: "skip" }], wrong)).rejects.toThrow(/needs a reason/)
    await expect(failuresWith([{ ...base, kind: "tolerance" }], wrong)).rejects.toThrow(/needs a tolerance/)
    await expect(failuresWith([{ ...base, kind: "skip", tolerance: { ulp: 1 } }], wrong)).rejects.toThrow(
      /a skip has no tolerance/,
    )
  })
})

describe("comparison", () => {
  test("units in the last place", () => {
    expect(ulpOf(1, "float32")).toBe(2 ** -23)
    expect(ulpOf(0, "float32")).toBe(2 ** -149)
    expect(ulpOf(-3, "float64")).toBe(2 ** -51)
    expect(ulpOf(1, "bfloat16")).toBe(2 ** -7)
    expect(ulpOf(5, "int32")).toBe(0)
  })
  test("NaN equals NaN and nothing else; zeros differ on request", () => {
    expect(compareValues([NaN, Infinity], [NaN, Infinity], "float32", {})).toBe(0)
    expect(() => compareValues([NaN], [1], "float32", { atol: 9 })).toThrow(/element 0: got NaN, reference 1/)
    expect(() => compareValues([1], [NaN], "float32", { atol: 9 })).toThrow(/reference NaN/)
    expect(() => compareValues([-Infinity], [Infinity], "float32", { rtol: 1 })).toThrow()
    expect(compareValues([-0], [0], "float32", {})).toBe(0)
    expect(() => compareValues([-0], [0], "float32", {}, { signedZero: true })).toThrow(/got -0, reference 0/)
  })
  test("lengths", () => {
    expect(() => compareValues([1], [1, 2], "float32", {})).toThrow(/got 1 elements, reference 2/)
  })
})
