// Where threads come from: Node's worker_threads, or web workers on pages that may share memory. Decides nothing about work.
import { nodeProgram, webProgram } from "./worker.js"

/** What a worker is given. */
export interface ThreadSetup {
  readonly memory: WebAssembly.Memory
  readonly control: SharedArrayBuffer
  readonly id: number
}

/** A running thread. */
export interface Thread {
  /** False once the thread is certainly gone; can be asked while the event loop is blocked. */
  alive(): boolean
  terminate(): Promise<void>
}

/** Starts threads on this host. */
export interface ThreadHost {
  /** How many threads it pays to run at once. */
  readonly concurrency: number
  /** `ended` hears, once, why the thread is no more, unless it was terminated from here. May throw. */
  start(setup: ThreadSetup, ended: (why: string) => void): Thread
}

// The parts of Node that are used. They are found at run time: a static import would disturb bundlers and browsers.
interface NodePort {
  postMessage(message: unknown): unknown
  unref(): void
}
interface NodeWorker {
  on(event: string, listener: (value: unknown) => void): void
  unref(): void
  terminate(): Promise<unknown>
}
interface NodeThreads {
  readonly Worker: new (code: string, options: object) => NodeWorker
  readonly MessageChannel: new () => { port1: NodePort; port2: NodePort }
}
interface NodeProcess {
  readonly getBuiltinModule?: (name: string) => unknown
}

function nodeHost(find: (name: string) => unknown): ThreadHost | null {
  const threads = find("node:worker_threads") as NodeThreads | undefined
  const os = find("node:os") as { availableParallelism?: () => number } | undefined
  if (!threads?.Worker || !threads.MessageChannel) return null
  return {
    concurrency: os?.availableParallelism?.() ?? 1,
    start(setup, ended) {
      const { port1, port2 } = new threads.MessageChannel()
      const worker = new threads.Worker(nodeProgram, {
        eval: true,
        workerData: { ...setup, port: port2 },
        transferList: [port2],
        // Loaders and other switches of the program are not for this thread.
        execArgv: [],
        name: "rondo",
      })
      let stopped = false
      const end = (why: string): void => {
        if (!stopped) ended(why)
        stopped = true
      }
      worker.on("error", (error) => end(String(error)))
      worker.on("exit", (code) => end(`it ended with code ${String(code)}`))
      worker.unref()
      port1.unref()
      return {
        // Node says false when nobody is at the other end any more. Nothing is ever read there.
        alive: () => port1.postMessage(null) !== false,
        terminate: async () => {
          stopped = true
          await worker.terminate()
        },
      }
    },
  }
}

function webHost(concurrency: number): ThreadHost {
  return {
    concurrency,
    start(setup, ended) {
      const address = URL.createObjectURL(new Blob([webProgram], { type: "text/javascript" }))
      const worker = new Worker(address, { name: "rondo" })
      let alive = true
      worker.onerror = (event) => {
        event.preventDefault()
        URL.revokeObjectURL(address)
        if (alive) ended(event.message || "its script was refused; the content security policy needs worker-src blob:")
        alive = false
      }
      worker.postMessage(setup)
      return {
        alive: () => alive,
        terminate: async () => {
          alive = false
          worker.terminate()
          URL.revokeObjectURL(address)
        },
      }
    },
  }
}

/** The host of this program, or why it has no threads. */
export function threadHost(): ThreadHost | string {
  if (typeof SharedArrayBuffer === "undefined") {
    return "SharedArrayBuffer is missing; a page must be cross-origin isolated (headers COOP: same-origin, COEP: require-corp)"
  }
  const scope = globalThis as { process?: NodeProcess; crossOriginIsolated?: boolean }
  const process = scope.process
  const node = process?.getBuiltinModule && nodeHost((name) => process.getBuiltinModule?.(name))
  if (node) return node
  if (typeof Worker === "undefined" || typeof Blob === "undefined") return "this host has no workers"
  if (scope.crossOriginIsolated === false) {
    return "the page is not cross-origin isolated (headers COOP: same-origin, COEP: require-corp)"
  }
  return webHost(globalThis.navigator?.hardwareConcurrency ?? 1)
}
