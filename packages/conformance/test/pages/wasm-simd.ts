// The page in which the wasm-simd backend runs the suite. Where it can have threads, even the smallest kernels use them.
import { CpuJs } from "@rondo/backend-cpu-js"
import { WasmSimd } from "@rondo/backend-wasm-simd"
import { servePage } from "../../src/page.js"

/** Backends that are still open, and whether any so far had help from another thread. */
let open = 0
let helped = false

class Threaded extends WasmSimd {
  constructor() {
    super({ threads: 2, minimumWork: 0 })
    open++
  }

  override async close(): Promise<void> {
    // Of the suite's two backends most cases use the first.
    helped ||= (this.engine.pool?.sharedCalls ?? 0) > 0
    // An error that nobody catches fails the run.
    if (--open === 0 && helped !== crossOriginIsolated) reportError(new Error(`threads: ${helped ? "" : "not "}used`))
    await super.close()
  }
}

async function make(): Promise<WasmSimd> {
  const backend = new Threaded()
  await backend.startThreads()
  const { working, reason } = backend.threads
  if (working !== (crossOriginIsolated ? 2 : 1)) reportError(new Error(`${working} threads work: ${reason}`))
  return backend
}

servePage(make, { reference: () => new CpuJs() })
