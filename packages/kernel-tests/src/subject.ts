// What a backend's tests hand to the cases: its devices, what they are held to, and how much may be asked of them.
import type { Backend, DType } from "@rondo/backend"
import { type Agree, agreement } from "./agreement.js"

export interface Subject {
  /** All must do what the reference does. */
  readonly devices: readonly Backend[]
  readonly reference: Backend
  readonly dtypes: readonly DType[]
  /** Each kernel costs so much here that combinations are thinned out. No kind of case is left out. */
  readonly slow: boolean
  /** Whether products are carried in float64, as in the reference: then they come out the same. */
  readonly doubles: boolean
  readonly agree: Agree
}

export const subjectOf = (given: Omit<Subject, "agree">): Subject => ({
  ...given,
  agree: agreement(given.devices, given.reference),
})

/**
 * All combinations of one value of each list. With a `step`, a prime that divides no list's length, only each `step`-th: still
 * every value of every list is met, or this throws.
 */
export function combinations<T extends readonly unknown[]>(
  step: number,
  ...lists: { readonly [K in keyof T]: readonly T[K][] }
): T[] {
  const all = lists.reduce<unknown[][]>((heads, list) => heads.flatMap((head) => list.map((x) => [...head, x])), [[]])
  const some = all.filter((_, i) => i % step === 0)
  lists.forEach((list, d) => {
    if (new Set(some.map((one) => one[d])).size < new Set(list).size)
      throw new Error(`combinations: a step of ${step} leaves out values of list ${d}; take another prime`)
  })
  return some as unknown as T[]
}
