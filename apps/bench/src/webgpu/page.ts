// The side of the page: one library, which is opened and asked for one case. Knows no library.
import { startCounting, watchAdapters } from "./counters.js"
import type { GpuMeasured, GpuPlan } from "./timing.js"

/** Opens a library on WebGPU and gives its cases; throws if it would not run there. */
export type Open = (plan: GpuPlan) => Promise<Readonly<Record<string, () => Promise<GpuMeasured>>>>

/** What a page gives for one case. */
export interface Answer extends GpuMeasured {
  /** The adapter whose device the library opened. */
  readonly adapter: string
}

/** What the runner calls: `rondoBench(case, plan)`. */
export type RunCase = (name: string, plan: GpuPlan) => Promise<Answer>

/** Makes a page that runs single cases of a library. */
export function servePeer(open: Open): void {
  const run: RunCase = async (name, plan) => {
    const adapters = watchAdapters()
    startCounting()
    const cases = await open(plan)
    const adapter = [...new Set(adapters)].join(", ")
    if (!cases[name]) return { workload: name, adapter, error: "this library has no such case" }
    try {
      return { ...(await cases[name]()), adapter }
    } catch (error) {
      const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
      return { workload: name, adapter, error: text.split("\n")[0].slice(0, 300) }
    }
  }
  Object.assign(globalThis, { rondoBench: run })
}
