// For the tests of threads: devices that are closed afterwards, and jobs whose course a test can steer.
import { WasmSimd, type WasmSimdOptions } from "../src/backend.js"
import type { Call, Compiled } from "../src/engine.js"
import { call as states, words } from "../src/threads/control.js"
import type { Pool } from "../src/threads/pool.js"

const opened: WasmSimd[] = []
/** For `afterEach`. */
export async function closeAll(): Promise<void> {
  for (const backend of opened.splice(0)) await backend.close()
}

/** A device with four threads that are used for any work, however small. */
export function open(options: WasmSimdOptions = {}): WasmSimd {
  const backend = new WasmSimd({ threads: 4, minimumWork: 0, onWarning: () => {}, ...options })
  opened.push(backend)
  return backend
}
/** The pool of a device that has one. */
export const poolOf = (backend: WasmSimd): Pool => backend.engine.pool as Pool

/** Adds 1 to the number at `at` after `rounds` rounds of nothing. */
export function counter(backend: WasmSimd): Compiled {
  return backend.engine.compile("test counter", (module) => {
    const f = module.define("count", ["i32", "i32"])
    const [at, rounds] = f.args
    const spins = f.local("i32", 0)
    f.times(rounds, (i) => spins.set(spins.mul(3).add(i)))
    f.store("i32.store", at, f.load("i32.load", at).add(1).add(spins.and(0)))
    return { count: f }
  }).count
}

/** A job of which this thread runs the first call, as JavaScript; the second is left to a worker. */
export function beside(fn: Compiled, args: readonly number[], mine: () => void): Call[] {
  return [
    { fn: { ...fn, call: () => (mine(), 0) }, args: [] },
    { fn, args },
  ]
}
/** The state of the job's call with this number. */
export const stateOf = (pool: Pool, i: number): number => Atomics.load(pool["words"], words.states + i * words.line)
/** Waits, without giving the event loop a turn. */
export function until(condition: () => boolean): void {
  const start = performance.now()
  while (!condition()) if (performance.now() - start > 20_000) throw new Error("it never happened")
}
/** Whether a call has been taken by a thread and not ended. */
export const claimed = (state: number): boolean => state >= states.claimed && state < states.failed

/** Room for numbers, a cache line apart, all 0. */
export function counters(backend: WasmSimd, count: number): { at: number; read: () => number[] } {
  const at = backend.engine.heap.alloc(64 * count)
  const view = (): Int32Array => new Int32Array(backend.engine.memory.buffer, at, 16 * count)
  view().fill(0)
  return { at, read: () => Array.from({ length: count }, (_, i) => view()[16 * i]) }
}
