// Printed figures are compared to their last digit, or to the last bits of float32.
import { expect, test } from "vitest"
import { sameFigure } from "./text.js"

test("the reference must print the same text", () => {
  expect(sameFigure("[0.1234]", "[0.1234]", true)).toBe(true)
  expect(sameFigure("[0.1234]", "[0.1235]", true)).toBe(false)
})

test("other devices may be a unit of the last printed digit away", () => {
  expect(sameFigure("[[0.1234, -1.0000]]", "[[0.1235, -1.0000]]", false)).toBe(true)
  expect(sameFigure("[[0.1234, -1.0000]]", "[[0.1236, -1.0000]]", false)).toBe(false)
  expect(sameFigure("[-0.88883156  1.2364397 ]", "[-0.8888315  1.2364398]", false)).toBe(true)
})

test("signs, shapes and missing numbers count", () => {
  expect(sameFigure("[0.5]", "[-0.5]", false)).toBe(false)
  expect(sameFigure("[0.5, 0.5]", "[0.5]", false)).toBe(false)
  expect(sameFigure("[nan]", "[0.5]", false)).toBe(false)
})
