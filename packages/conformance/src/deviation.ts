// Where a backend is known to differ, as data with a reason; and the ledger that makes such a list shrink.
import type { DType } from "@rondo/backend"
import { fail, type Tolerance } from "./compare.js"
import type { Case } from "./suite.js"

/**
 * One known difference. What is left out matches everything.
 *
 * @example
 * ```ts
 * const deviations: Deviation[] = [
 *   { check: "kernels", op: "map.exp", dtype: "float32", kind: "tolerance", tolerance: { ulp: 32 }, reason: "the GPU's exp" },
 * ]
 * ```
 */
export interface Deviation {
  /** Name of the check. */
  readonly check: string
  readonly op?: string
  readonly dtype?: DType
  /** The case's id, or a pattern for it. */
  readonly case?: string | RegExp
  /** `skip`: the case fails and that is known. `tolerance`: it holds at a wider tolerance. */
  readonly kind: "skip" | "tolerance"
  readonly tolerance?: Tolerance
  /** Why, for the people who read the table. Required. */
  readonly reason: string
}

function matches(deviation: Deviation, check: string, one: Case): boolean {
  const { op, dtype, case: id } = deviation
  if (deviation.check !== check || (op !== undefined && op !== one.op) || (dtype !== undefined && dtype !== one.dtype))
    return false
  if (id === undefined) return true
  return typeof id === "string" ? id === one.id : new RegExp(id.source, id.flags.replace(/[gy]/g, "")).test(one.id)
}

const textOf = ({ check, op, dtype, case: id, reason }: Deviation): string =>
  `${check} ${op ?? "*"} ${dtype ?? "*"}${id === undefined ? "" : ` ${String(id)}`} ("${reason}")`

/** Keeps book of which deviations matched a case, and which were needed. Throws a ConformanceError for malformed ones. */
export class Ledger {
  private readonly entries: { readonly deviation: Deviation; matched: number; needed: number }[]

  constructor(deviations: readonly Deviation[]) {
    for (const deviation of deviations) {
      if (!deviation.reason?.trim()) fail(`deviation ${textOf(deviation)}: needs a reason`)
      const { tolerance, kind } = deviation
      if (kind === "tolerance" && !tolerance) fail(`deviation ${textOf(deviation)}: needs a tolerance`)
      if (kind === "skip" && tolerance) fail(`deviation ${textOf(deviation)}: a skip has no tolerance`)
    }
    this.entries = deviations.map((deviation) => ({ deviation, matched: 0, needed: 0 }))
  }

  /** The deviations that hold for a case: the first of each kind. */
  match(check: string, one: Case): { skip: Deviation | null; loose: Deviation | null } {
    let skip: Deviation | null = null
    let loose: Deviation | null = null
    for (const entry of this.entries) {
      if (!matches(entry.deviation, check, one)) continue
      entry.matched++
      if (entry.deviation.kind === "skip") skip ??= entry.deviation
      else loose ??= entry.deviation
    }
    return { skip, loose }
  }

  needed(deviation: Deviation): void {
    const entry = this.entries.find((candidate) => candidate.deviation === deviation)
    if (entry) entry.needed++
  }

  /** What is wrong with the list, once every case ran: entries that match nothing, or that no case needs. */
  leftOver(): string[] {
    return this.entries.flatMap(({ deviation, matched, needed }) => {
      if (matched === 0) return [`deviation ${textOf(deviation)} matches no case: remove it`]
      return needed === 0 ? [`deviation ${textOf(deviation)} is not needed by any case: remove it`] : []
    })
  }
}
