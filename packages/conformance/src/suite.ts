// The vocabulary of the suite: checks, cases, the context they run in, and how one is judged.
import { type Backend, DeviceError, type DType, DTypeError } from "@rondo/backend"
import { Device, use } from "@rondo/core"
import type { Tolerance } from "./compare.js"
import type { Deviation, Ledger } from "./deviation.js"
import { Goldens } from "./goldens.js"
import type { Row } from "./report.js"

/** Makes a fresh backend. */
export type Make = () => Promise<Backend> | Backend

/** What a run of the suite needs beside the backend. */
export interface SuiteOptions {
  /** The backend whose values are held to be right: `() => new CpuJs()`. */
  readonly reference: Make
  /** Under which name it is reported. Default: the backend's own. */
  readonly name?: string
  readonly deviations?: readonly Deviation[]
  /** The bytes of the package's `goldens/ops.safetensors`. Node finds them itself; without them the check cannot run and fails. */
  readonly goldens?: () => Promise<Uint8Array>
  /** Collects garbage and lets finalisers run; without it only deterministic freeing is checked. */
  readonly collect?: () => Promise<void>
  /** Run only these checks. */
  readonly only?: readonly string[]
}

/** What cases may use. The default device of core is the reference while a case runs. */
export interface Context {
  readonly name: string
  readonly backend: Backend
  readonly device: Device
  readonly reference: Device
  /** Another device of the same kind. */
  readonly twin: Device
  /** Dtypes that the backend has. */
  readonly dtypes: readonly DType[]
  readonly goldens: Goldens | null
  readonly collect: (() => Promise<void>) | null
}

/** One thing that either holds or not. */
export interface Case {
  /** Says what is called with what; unique within op, check and dtype. */
  readonly id: string
  readonly op: string
  readonly dtype: DType | "-"
  /** Throws if the property does not hold; returns the largest error. `tolerance` replaces the check's own. */
  run(tolerance: Tolerance | null): Promise<number | void> | number | void
}

/** One property, over everything it is stated for. */
export interface Check {
  readonly name: string
  /** What holds, in one sentence. */
  readonly about: string
  cases(context: Context): Case[]
}

/** Opens the devices that the cases run on. */
export async function openContext(make: Make, options: SuiteOptions): Promise<Context> {
  const backend = await make()
  const reference = use(new Device(await options.reference()))
  const bytes = options.goldens ? await options.goldens() : null
  return {
    name: options.name ?? backend.name,
    backend,
    device: new Device(backend),
    reference,
    twin: new Device(await make()),
    dtypes: backend.capabilities.dtypes,
    goldens: bytes ? new Goldens(bytes) : null,
    collect: options.collect ?? null,
  }
}

/** Gives the devices back. */
export async function closeContext(context: Context): Promise<void> {
  for (const device of [context.device, context.twin, context.reference]) await device.backend.close?.()
}

/** The cases of one check, by operation, in order. */
export function byOp(cases: readonly Case[]): Map<string, Case[]> {
  const groups = new Map<string, Case[]>()
  for (const one of cases) {
    const group = groups.get(one.op)
    if (group) group.push(one)
    else groups.set(one.op, [one])
  }
  return groups
}

/** Runs the cases of one check and operation: one row a dtype, with the failures in words. */
export async function runCases(
  context: Context,
  check: string,
  cases: readonly Case[],
  ledger: Ledger,
): Promise<Row[]> {
  const rows = new Map<string, Row>()
  for (const one of cases) {
    let row = rows.get(one.dtype)
    if (!row) {
      row = { op: one.op, check, dtype: one.dtype, status: "pass", cases: 0, skipped: 0, maxError: 0, failures: [], reasons: [] } // prettier-ignore
      rows.set(one.dtype, row)
    }
    await runCase(context, check, one, ledger, row)
  }
  for (const row of rows.values()) {
    row.status =
      row.failures.length > 0 ? "fail" : row.skipped === row.cases ? "skip" : row.skipped > 0 ? "part" : "pass"
  }
  return [...rows.values()]
}

const message = (error: unknown): string =>
  error instanceof Error
    ? error.name === "ConformanceError"
      ? error.message
      : `${error.name}: ${error.message}`
    : String(error)

async function attempt(context: Context, one: Case, tolerance: Tolerance | null): Promise<number> {
  use(context.reference)
  try {
    const error = (await one.run(tolerance)) ?? 0
    // A queueing device reports what went wrong here at the latest.
    await context.backend.sync()
    return error
  } catch (error) {
    if (isRefusal(error, context.backend)) return 0
    throw error
  }
}

/** True for the error that says what a device cannot do by its own capabilities: have a dtype, or be read at once. */
export function isRefusal(error: unknown, { capabilities }: Backend): boolean {
  if (error instanceof DeviceError)
    return !capabilities.syncRead && /cannot be read synchronously; use/.test(error.message)
  const dtype = error instanceof DTypeError ? /has no (\w+): it has/.exec(error.message)?.[1] : undefined
  return dtype !== undefined && !capabilities.dtypes.includes(dtype as DType)
}

async function runCase(context: Context, check: string, one: Case, ledger: Ledger, row: Row): Promise<void> {
  row.cases++
  const title = `${check} ${one.op}${one.dtype === "-" ? "" : ` ${one.dtype}`} ${one.id}`
  const { skip, loose } = ledger.match(check, one)
  try {
    row.maxError = Math.max(row.maxError, await attempt(context, one, null))
    if (skip) row.failures.push(`${title}: no longer deviates: remove the skip "${skip.reason}"`)
    return
  } catch (error) {
    if (skip) {
      ledger.needed(skip)
      row.skipped++
      if (!row.reasons.includes(skip.reason)) row.reasons.push(skip.reason)
      return
    }
    if (!loose) return void row.failures.push(`${title}: ${message(error)}`)
  }
  try {
    row.maxError = Math.max(row.maxError, await attempt(context, one, loose.tolerance ?? {}))
    ledger.needed(loose)
    if (!row.reasons.includes(loose.reason)) row.reasons.push(loose.reason)
  } catch (error) {
    row.failures.push(`${title}: even at the tolerance of "${loose.reason}": ${message(error)}`)
  }
}
