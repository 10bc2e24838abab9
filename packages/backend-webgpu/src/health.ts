// What went wrong on a device: errors that come late, and its loss. Everything that waits for the device waits through this,
// so that nothing hangs when it goes away.
import { DeviceError, type DeviceLost, OutOfMemoryError, RondoError } from "@rondo/backend"
import { Patience } from "./patience.js"

/**
 * How much an error says. What a buffer without memory is used for is refused as well, and the device tells that earlier, often, and
 * without names.
 */
type Weight = "consequence" | "operation" | "memory"
const weights: readonly Weight[] = ["consequence", "operation", "memory"]

interface Failure {
  readonly error: Error
  readonly weight: Weight
}

/** The one that says more; the first of equals. */
const heavier = (a: Failure | null, b: Failure): Failure =>
  a && weights.indexOf(a.weight) >= weights.indexOf(b.weight) ? a : b

const weightOf = (error: Error): Weight => (error instanceof OutOfMemoryError ? "memory" : "operation")

/** Somebody who asked what the device has to say about everything before `asked`. */
interface Listener {
  readonly asked: number
  failure: Failure | null
}

/** Error scopes, late errors and the loss of one device. */
export class Health {
  /** Resolves when the device is lost; never if it is closed in an orderly way. */
  readonly lost: Promise<DeviceLost>
  private readonly device: GPUDevice
  private gone: DeviceLost | null = null
  /** True once `close` was called. */
  closed = false
  /** Counts what is asked of the device, and who asks what became of it. */
  private clock = 0
  private readonly listeners = new Set<Listener>()
  /** What went wrong since somebody asked. */
  private unheard: Failure | null = null
  private readonly checks = new Set<Promise<void>>()
  private readonly waiting = new Set<(error: Error) => void>()
  private readonly patience: Patience | null

  /** `onCpu`: the device's work is done by this machine's processor. */
  constructor(device: GPUDevice, onCpu: boolean) {
    this.device = device
    this.patience = onCpu ? new Patience(() => this.waiting.size === 0) : null
    this.lost = new Promise((resolve) => {
      void device.lost.then(({ reason, message }) => {
        if (this.closed) return
        this.gone = { reason: reason === "destroyed" ? "destroyed" : "unknown", message }
        this.rejectAll()
        resolve(this.gone)
      })
    })
    device.addEventListener("uncapturederror", (event) => {
      const { error } = event as GPUUncapturedErrorEvent
      event.preventDefault()
      this.fail(new DeviceError(`webgpu: the device reports an error: ${error.message}`), { weight: "consequence" })
    })
  }

  /** Throws a DeviceError if the device is closed or lost. */
  check(): void {
    const error = this.end()
    if (error) throw error
  }

  private end(): DeviceError | null {
    if (this.closed) return new DeviceError("webgpu: the device is closed; open it again")
    if (!this.gone) return null
    const { reason, message } = this.gone
    return new DeviceError(
      `webgpu: the device was lost (${reason}): ${message || "no reason given"}; open it again and restore what a host copy ` +
        "holds (checkpointToHost)",
    )
  }

  /** Ends in an orderly way: whoever waits is told. */
  close(): void {
    if (this.closed) return
    this.closed = true
    this.rejectAll()
  }

  private rejectAll(): void {
    const error = this.end() as DeviceError
    for (const reject of this.waiting) reject(error)
    this.waiting.clear()
  }

  /** The same promise, but rejected if the device goes away first. */
  guard<T>(promise: Promise<T>): Promise<T> {
    const ended = this.end()
    if (ended) {
      promise.catch(() => {})
      return Promise.reject(ended)
    }
    // Not Promise.race against one long-lived promise: that would remember every read there ever was.
    return new Promise<T>((resolve, reject) => {
      this.waiting.add(reject)
      this.patience?.begin()
      const done = () => this.waiting.delete(reject)
      promise.then(
        (value) => (done(), resolve(value)),
        (error: unknown) => (done(), reject(this.end() ?? error)),
      )
    })
  }

  /** Runs `make` inside an error scope. What the device has against it is handed to `complain`, and what that makes is kept. */
  scope<T>(filter: GPUErrorFilter, make: () => T, complain: (message: string) => Error): T {
    const { device } = this
    const at = ++this.clock
    device.pushErrorScope(filter)
    try {
      return make()
    } finally {
      this.await(
        device.popErrorScope().then(
          (error) => void (error && this.fail(complain(error.message), { at })),
          // A lost device pops nothing; that is told elsewhere.
          () => {},
        ),
      )
    }
  }

  /** A moment, for {@link fail}: before whatever is asked from now on. */
  tick(): number {
    return ++this.clock
  }

  /** Makes the next `settle` wait for this too. It must not reject. */
  await(check: Promise<void>): void {
    this.checks.add(check)
    void check.then(() => this.checks.delete(check))
  }

  /**
   * Tells an error to all who wait in `settle` and asked after `at`, or else to the next who asks. Nobody reads what came of refused commands
   * as if it were good, and whoever asked before them is not told.
   */
  fail(
    error: Error,
    { at = 0, weight = weightOf(error) }: { readonly at?: number; readonly weight?: Weight } = {},
  ): void {
    const failure: Failure = { error, weight }
    let heard = false
    for (const listener of this.listeners) {
      if (listener.asked < at) continue
      listener.failure = heavier(listener.failure, failure)
      heard = true
    }
    if (!heard) this.unheard = heavier(this.unheard, failure)
  }

  /** Waits for what the device has to say about everything so far, and throws what says most of all that went wrong. */
  async settle(): Promise<void> {
    const listener: Listener = { asked: ++this.clock, failure: this.unheard }
    this.unheard = null
    this.listeners.add(listener)
    await Promise.all(this.checks)
    this.listeners.delete(listener)
    if (!listener.failure) return
    const { error } = listener.failure
    throw error instanceof RondoError ? error : new DeviceError(String(error))
  }
}
