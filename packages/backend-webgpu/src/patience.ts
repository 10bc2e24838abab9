// Lets the processor work on what is waited for: for adapters that are programs, in Node. Knows nothing of what that is.
//
// Dawn's package for Node asks at every turn of the event loop whether something has come to its end, so that the thread that waits is as
// busy as those that render, and takes a core from them. Naps between two turns give it back. Nothing of the kind is needed for GPUs,
// or in browsers, where the device is in another process.

/** A nap is so much of the time that was waited before: what comes meanwhile is heard late by as much at most. */
const napShare = 1 / 8
/** Whatever else the event loop has to do waits for a nap to end: none takes longer. */
const longestNap_ms = 1

type Turn = (callback: () => void) => unknown

/** Sleeps; undefined where this thread must not (pages), or where there is no such turn of the event loop. */
function sleeper(): ((ms: number) => void) | undefined {
  try {
    const cell = new Int32Array(new SharedArrayBuffer(4))
    Atomics.wait(cell, 0, 0, 0)
    return (ms) => void Atomics.wait(cell, 0, 0, ms)
  } catch {
    return undefined
  }
}

/** Naps at every turn of the event loop from `begin` until `isOver()`. Does nothing where that is not possible. */
export class Patience {
  private readonly isOver: () => boolean
  private readonly turn = (globalThis as { setImmediate?: Turn }).setImmediate
  private readonly sleep = this.turn && sleeper()
  private since = 0
  private waits = false

  constructor(isOver: () => boolean) {
    this.isOver = isOver
  }

  begin(): void {
    this.since = performance.now()
    if (this.waits || !this.sleep) return
    this.waits = true
    this.turn?.(() => this.nap())
  }

  private nap(): void {
    if (this.isOver()) {
      this.waits = false
      return
    }
    this.sleep?.(Math.min(longestNap_ms, (performance.now() - this.since) * napShare))
    this.turn?.(() => this.nap())
  }
}
