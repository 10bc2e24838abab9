// Holds the options that a backend is opened with to a table of names and kinds. The layers' options are core's business.
import { ValueError } from "./errors.js"

/** What an option takes: in words, and as a check. Options without words are not named to the user. */
export type OpenRule = readonly [words: string, fits: (value: unknown) => boolean]

const positive = (x: unknown): boolean => typeof x === "number" && x > 0

/** Rules that several backends share. */
export const openRules = {
  bytes: ["bytes above 0", positive],
  flag: ["true or false", (x) => typeof x === "boolean"],
  callback: ["a function", (x) => typeof x === "function"],
  hiddenNumber: ["", (x) => typeof x === "number"],
} satisfies Record<string, OpenRule>

const shown = (x: unknown): string => {
  if (typeof x === "string") return JSON.stringify(x)
  return x !== null && typeof x === "object" ? Object.prototype.toString.call(x) : String(x)
}

/**
 * Throws a ValueError that names the backend for a name that is not in `rules`, a value that does not fit, or options that are no object.
 * `undefined` stands for an option that was left out.
 *
 * @example
 * ```ts
 * const rules = { memoryLimit: openRules.bytes }
 * checkOpenOptions("abacus", { memoryLimit: 100 }, rules)
 * try {
 *   checkOpenOptions("abacus", { memoryLimt: 100 }, rules)
 * } catch (error) {
 *   console.log((error as Error).message) // abacus: unknown option memoryLimt: expected memoryLimit
 * }
 * ```
 */
export function checkOpenOptions(backend: string, options: unknown, rules: Readonly<Record<string, OpenRule>>): void {
  if (options === null || typeof options !== "object" || Array.isArray(options)) {
    throw new ValueError(`${backend}: options: got ${shown(options)}, expected an object`)
  }
  for (const [key, value] of Object.entries(options)) {
    if (!Object.hasOwn(rules, key)) {
      const known = Object.keys(rules).filter((name) => rules[name][0] !== "")
      throw new ValueError(`${backend}: unknown option ${key}: expected ${known.join(", ")}`)
    }
    const [words, fits] = rules[key]
    if (value !== undefined && !fits(value)) {
      throw new ValueError(`${backend}: ${key}: got ${shown(value)}, expected ${words || "something else"}`)
    }
  }
}
