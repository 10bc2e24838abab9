// Counts what a program asks of WebGPU, by wrapping the methods of its prototypes: the same way for every library.

/** How often each was called. */
export interface Counts {
  /** `dispatchWorkgroups` and `dispatchWorkgroupsIndirect`. */
  dispatches: number
  submits: number
  /** `writeBuffer`: uploads, parameters. */
  writes: number
  /** Copies between buffers, and clears. */
  copies: number
  passes: number
  buffers: number
  bindGroups: number
  pipelines: number
}

const methods: readonly (readonly [keyof Counts, string, readonly string[]])[] = [
  ["dispatches", "GPUComputePassEncoder", ["dispatchWorkgroups", "dispatchWorkgroupsIndirect"]],
  ["submits", "GPUQueue", ["submit"]],
  ["writes", "GPUQueue", ["writeBuffer"]],
  ["copies", "GPUCommandEncoder", ["copyBufferToBuffer", "clearBuffer"]],
  ["passes", "GPUCommandEncoder", ["beginComputePass"]],
  ["buffers", "GPUDevice", ["createBuffer"]],
  ["bindGroups", "GPUDevice", ["createBindGroup"]],
  ["pipelines", "GPUDevice", ["createComputePipeline", "createComputePipelineAsync"]],
]

const counted = Object.fromEntries(methods.map(([name]) => [name, 0])) as unknown as Counts

/** All counts up to now. */
export const counts = (): Counts => ({ ...counted })

/** What was counted since `before`. */
export const since = (before: Counts): Counts =>
  Object.fromEntries(methods.map(([name]) => [name, counted[name] - before[name]])) as unknown as Counts

type Method = (this: object, ...args: unknown[]) => unknown
const prototypeOf = (name: string): Record<string, Method> | undefined =>
  (globalThis as unknown as Record<string, { prototype: Record<string, Method> } | undefined>)[name]?.prototype

/** Starts to count; objects that exist already are counted too. Throws an Error where there is no WebGPU. */
export function startCounting(): void {
  for (const [name, owner, calls] of methods) {
    const prototype = prototypeOf(owner)
    if (!prototype) throw new Error(`there is no ${owner}: this browser has no WebGPU`)
    for (const call of calls) {
      const original = prototype[call]
      prototype[call] = function (...args) {
        counted[name]++
        return original.apply(this, args)
      }
    }
  }
}

/** How an adapter is called. */
export const adapterName = ({ description, vendor, architecture, device }: GPUAdapterInfo): string =>
  [...new Set([vendor, architecture, device, description])].filter(Boolean).join(" ") || "unnamed"

/** Names of the adapters whose devices were opened, in order. Install before the library opens one. */
export function watchAdapters(): readonly string[] {
  const opened: string[] = []
  const prototype = prototypeOf("GPUAdapter")
  if (!prototype) throw new Error("there is no GPUAdapter: this browser has no WebGPU")
  const original = prototype.requestDevice
  prototype.requestDevice = function (...args) {
    opened.push(adapterName((this as unknown as GPUAdapter).info))
    return original.apply(this, args)
  }
  return opened
}
