// The suite inside a browser page: what a harness outside calls, check by check. It opens no browser and writes no report.
import { pickChecks } from "./checks/index.js"
import { fail } from "./compare.js"
import { type Deviation, Ledger } from "./deviation.js"
import { type Report, type Row, summarise } from "./report.js"
import {
  byOp,
  type Case,
  closeContext,
  type Context,
  type Make,
  openContext,
  runCases,
  type SuiteOptions,
} from "./suite.js"

/** What a page says of itself once its devices are open. Plain data, as all that crosses between page and harness. */
export interface PageFacts {
  /** Shared memory, and with it threads, can be had. */
  readonly isolated: boolean
  /** The page can collect garbage, so that the cases which need it run. */
  readonly collects: boolean
  /** The checks that have cases here, in order. */
  readonly plan: readonly { readonly check: string; readonly cases: number }[]
}

/** How a harness drives the page: {@link servePage} puts one of these at `globalThis.rondoSuite`. */
export interface PageSuite {
  /** Opens the devices and plans the checks (`only` some of them); rejects if the backend cannot be had. */
  open(only?: readonly string[]): Promise<PageFacts>
  /** Runs one check of the plan: every failure in words. */
  run(check: string): Promise<readonly string[]>
  /** Closes the devices. The report is null unless every check of the suite ran. */
  close(): Promise<{ readonly leftOver: readonly string[]; readonly report: Report | null }>
}

const task = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0))

/** Collects garbage where the browser was started with `--js-flags=--expose-gc`; else null. */
function collector(): (() => Promise<void>) | null {
  const { gc } = globalThis as { gc?: () => void }
  if (!gc) return null
  return async () => {
    // Finalisers run in tasks of their own, after the collection that found their targets.
    for (let i = 0; i < 3; i++) {
      await task()
      gc()
    }
    await task()
  }
}

async function fetchGoldens(): Promise<Uint8Array> {
  const answer = await fetch("goldens.safetensors")
  if (!answer.ok) fail(`goldens: ${answer.url} answered ${answer.status}; serve goldens/ops.safetensors there`)
  return new Uint8Array(await answer.arrayBuffer())
}

/** Options of {@link servePage}. */
export interface PageOptions extends SuiteOptions {
  /** Finds deviations that depend on the device which the page meets; called once, before the suite opens its own. */
  readonly findDeviations?: () => Promise<readonly Deviation[]>
}

class Session implements PageSuite {
  private readonly make: Make
  private readonly options: PageOptions
  private ledger = new Ledger([])
  private readonly rows: Row[] = []
  private readonly planned = new Map<string, readonly Case[]>()
  private readonly finished = new Set<string>()
  private context: Context | null = null
  private whole = true

  constructor(make: Make, options: PageOptions) {
    this.make = make
    this.options = options
  }

  async open(only = this.options.only): Promise<PageFacts> {
    const { deviations = [], findDeviations } = this.options
    this.ledger = new Ledger([...deviations, ...((await findDeviations?.()) ?? [])])
    const collect = this.options.collect ?? collector()
    const context = await openContext(this.make, {
      goldens: fetchGoldens,
      ...this.options,
      ...(collect ? { collect } : {}),
    })
    this.context = context
    this.whole = !only
    for (const check of pickChecks(only)) {
      const cases = check.cases(context)
      // Finite differences, for one, need float64: a device without it has no such cases.
      if (cases.length > 0) this.planned.set(check.name, cases)
    }
    return {
      isolated: globalThis.crossOriginIsolated,
      collects: collect !== null,
      plan: [...this.planned].map(([check, { length }]) => ({ check, cases: length })),
    }
  }

  async run(check: string): Promise<readonly string[]> {
    const cases = this.planned.get(check)
    if (!this.context || !cases) fail(`page: run: got ${check}, which is not in the plan; call open first`)
    const rows: Row[] = []
    for (const own of byOp(cases).values()) rows.push(...(await runCases(this.context, check, own, this.ledger)))
    this.rows.push(...rows)
    this.finished.add(check)
    return rows.flatMap((row) => row.failures)
  }

  async close(): Promise<{ readonly leftOver: readonly string[]; readonly report: Report | null }> {
    if (!this.context) fail("page: close: nothing is open; call open first")
    const whole = this.whole && this.finished.size === this.planned.size
    const leftOver = whole ? this.ledger.leftOver() : []
    const report = whole ? summarise(this.context, this.rows, leftOver) : null
    await closeContext(this.context)
    return { leftOver, report }
  }
}

/**
 * Makes a page ready to run the suite: call it once in the page's script. Goldens are fetched from beside the page unless
 * `options.goldens` says otherwise; garbage is collected where the browser lets pages do so.
 *
 * @example
 * ```ts no-run
 * // my-backend.page.ts
 * import { CpuJs } from "@rondo/backend-cpu-js"
 * import { servePage } from "@rondo/conformance/page"
 *
 * class MyBackend extends CpuJs {} // yours
 * servePage(() => new MyBackend(), { reference: () => new CpuJs() })
 * ```
 */
export function servePage(make: Make, options: PageOptions): void {
  const suite: PageSuite = new Session(make, options)
  Object.assign(globalThis, { rondoSuite: suite })
}
