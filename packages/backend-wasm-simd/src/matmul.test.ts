// Products of every dtype, shape and layout against the reference; that it does not matter how they are cut, and their scratch.
import { combinations, describeProducts, type Product, runProduct } from "@rondo/kernel-tests"
import { expect, it } from "vitest"
import { subject } from "../test/devices.js"
import { WasmSimd } from "./backend.js"

describeProducts(subject())

it("is the same in every way that it is cut", async () => {
  const sizes = [[64, 600, 70], [7, 30, 100], [100, 30, 7], [1, 50, 300], [300, 50, 1], [5, 600, 30]] as const // prettier-ignore
  const ways = ["rows", "columns"] as const
  const whole = new WasmSimd({ threads: false })
  for (const pieces of [2, 5]) {
    const cut = new WasmSimd({ threads: false })
    cut.engine.pieces = () => pieces
    for (const [dtype, size, a, b, batch] of combinations(1, ["float32", "float64"] as const, sizes, ways, ways, [[], [3]])) {
      const one: Product = { dtype, size, a, b, batch, bias: "row for all", divisor: 7 }
      expect(await runProduct(cut, one)).toEqual(await runProduct(whole, one))
    }
  } // prettier-ignore
})

it("gives back its scratch", async () => {
  const backend = new WasmSimd({ threads: false })
  const one: Product = {
    dtype: "uint8",
    size: [50, 600, 700],
    a: "columns",
    b: "spread",
    out: "spread",
    bias: "spread",
  }
  await runProduct(backend, one)
  const { heap } = backend.engine
  const [alloc, free] = [heap.alloc.bind(heap), heap.free.bind(heap)]
  const live = new Set<number>()
  heap.alloc = (bytes) => {
    const address = alloc(bytes)
    live.add(address)
    return address
  }
  heap.free = (address) => {
    live.delete(address)
    free(address)
  }
  await runProduct(backend, one)
  expect([...live]).toEqual([])
})
