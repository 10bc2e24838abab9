// The functions that workers have are those of the calling thread, to the last bit.
import { runInNewContext } from "node:vm"
import { expect, it } from "vitest"
import { imports } from "../imports.js"
import { importSource, portable } from "./imports.js"

const theirs = runInNewContext(`${importSource}; imports`) as typeof imports
const values = [0, -0, 1, -1, 0.5, -2.5, 3, 1e-8, 20.25, 710, -745.5, 1e22, Infinity, -Infinity, NaN]

it("names the same functions on both sides", () => {
  expect(new Set(Object.keys(theirs))).toEqual(portable)
  for (const name of portable) expect(imports[name]).toBeTypeOf("function")
})

it.each([...portable])("%s", (name) => {
  for (const x of values) for (const y of values) expect(theirs[name](x, y), `${x}, ${y}`).toBe(imports[name](x, y))
})
