// Float functions at zeros of both signs, infinities, NaN with any payload, denormals and the ends of ranges, and that no
// element's value depends on its place or its neighbours.
import { binaryFunctions, binaryOperations, edges, payloads, singleUlp, unaryFunctions, unaryOperations } from "@rondo/kernel-tests" // prettier-ignore
import { describe, expect, it } from "vitest"
import { apply } from "../../test/functions.js"

const [unary, binary] = [
  { ...unaryFunctions, ...unaryOperations },
  { ...binaryFunctions, ...binaryOperations },
]
const doubleEdges = [...edges, 5e-324, -5e-324, 1e-310, 2 ** -1022, 709.7, 710, -745, -746, 1e308, -1e308, 5.9, 6, 19.1]
/** Results that must be just so: NaN, zeros with their sign, infinities. Others may be off by the function's limit. */
function check(got: number, want: number, dtype: "float32" | "float64", what: string): void {
  const rounded = dtype === "float32" ? Math.fround(want) : want
  if (Object.is(got, rounded)) return
  const ulp = dtype === "float32" ? singleUlp(want) : Math.max(Math.abs(want) * 2e-16, 5e-324)
  const close = want !== 0 && Math.abs(got - want) <= 4 * ulp && Number.isFinite(rounded)
  if (!close) expect.fail(`${what}: got ${got}, expected ${rounded}`)
}

for (const relaxed of [true, false]) {
  for (const dtype of ["float32", "float64"] as const) {
    const column = (x: readonly number[]) => (dtype === "float32" ? Float32Array.from(x) : Float64Array.from(x))
    const list = dtype === "float32" ? edges.map(Math.fround) : doubleEdges

    describe(`${dtype} at its edges with relaxed ${relaxed}`, () => {
      it.each(Object.keys(unary))("%s", (op) => {
        const got = apply(op, dtype, [column(list)], relaxed)
        list.forEach((x, i) => check(got[i], unary[op](x), dtype, `${op}(${x})`))
      })
      it.each(Object.keys(binary))("%s", (op) => {
        const first = list.flatMap((x) => list.map(() => x))
        const second = list.flatMap(() => list)
        const got = apply(op, dtype, [column(first), column(second)], relaxed)
        for (let i = 0; i < got.length; i++) {
          check(got[i], binary[op](first[i], second[i]), dtype, `${op}(${first[i]}, ${second[i]})`)
        }
      })
    })
  }

  it(`float32 NaN with any payload stays NaN with relaxed ${relaxed}`, () => {
    const twos = new Float32Array(payloads.length).fill(2)
    for (const op of Object.keys(unary))
      expect(apply(op, "float32", [payloads], relaxed).every(Number.isNaN), op).toBe(true)
    for (const op of Object.keys(binary)) {
      expect(apply(op, "float32", [payloads, twos], relaxed).every(Number.isNaN), op).toBe(true)
      expect(apply(op, "float32", [twos, payloads], relaxed).every(Number.isNaN), op).toBe(true)
    }
  })

  it(`an element's value does not depend on its place with relaxed ${relaxed}`, () => {
    // Neighbours that take the slow way, and all places in a vector, the last vector's included.
    for (const op of [...Object.keys(unary), ...Object.keys(binary)]) {
      const arity = op in unary ? 1 : 2
      const column = Float32Array.from({ length: 41 }, (_, i) => (i % 5 === 3 ? 1e9 * i : (i - 20) * 0.37))
      const other = Float32Array.from({ length: 41 }, (_, i) => (i % 7) + 0.25)
      const together = apply(op, "float32", [column, other].slice(0, arity), relaxed)
      for (let i = 0; i < column.length; i++) {
        const alone = apply(op, "float32", [column.slice(i, i + 1), other.slice(i, i + 1)].slice(0, arity), relaxed)
        expect(alone[0], `${op}(${column[i]})`).toBe(together[i])
      }
    }
  })
}

it("powers of two and of ten have whole logarithms", () => {
  const twos = Float32Array.from({ length: 277 }, (_, i) => 2 ** (i - 149))
  expect(Array.from(apply("log2", "float32", [twos], true))).toEqual(Array.from(twos, (_, i) => i - 149))
  const tens = Float32Array.from({ length: 11 }, (_, i) => 10 ** i)
  expect(Array.from(apply("log10", "float32", [tens], true))).toEqual(Array.from(tens, (_, i) => i))
})
