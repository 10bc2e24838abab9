// What a backend is opened with is held to its table.
import { expect, test } from "vitest"
import { checkOpenOptions, openRules, ValueError } from "./index.js"

const rules = {
  memoryLimit: openRules.bytes,
  relaxed: openRules.flag,
  onWarning: openRules.callback,
  patience: openRules.hiddenNumber,
}
const check = (options: unknown) => (): void => checkOpenOptions("abacus", options, rules)

test("what fits, and what was left out, passes", () => {
  expect(check({})).not.toThrow()
  expect(check({ memoryLimit: 1.5, relaxed: false, onWarning: () => {}, patience: 3 })).not.toThrow()
  expect(check({ memoryLimit: undefined, relaxed: undefined })).not.toThrow()
})

test.each([
  [{ memoryLimt: 5 }, "abacus: unknown option memoryLimt: expected memoryLimit, relaxed, onWarning"],
  [{ toString: 5 }, "abacus: unknown option toString: expected memoryLimit, relaxed, onWarning"],
  [{ memoryLimit: "100" }, 'abacus: memoryLimit: got "100", expected bytes above 0'],
  [{ memoryLimit: NaN }, "abacus: memoryLimit: got NaN, expected bytes above 0"],
  [{ memoryLimit: null }, "abacus: memoryLimit: got null, expected bytes above 0"],
  [{ relaxed: "no" }, 'abacus: relaxed: got "no", expected true or false'],
  [{ onWarning: { a: 1 } }, "abacus: onWarning: got [object Object], expected a function"],
  [null, "abacus: options: got null, expected an object"],
  [5, "abacus: options: got 5, expected an object"],
  [[], "abacus: options: got [object Array], expected an object"],
])("%j is refused", (options, text) => {
  expect(check(options)).toThrow(new ValueError(text))
})
