// Finding a GPU and opening it: `navigator.gpu`, the npm package `webgpu` in Node, or a GPU object that was handed in.
import { DeviceError } from "@rondo/backend"

/** WebGPU's entry point, as `navigator.gpu`: said so that users need no declarations of WebGPU to read ours. */
export interface GpuEntry {
  requestAdapter(options?: { readonly powerPreference?: "low-power" | "high-performance" }): Promise<unknown>
}

/** How a GPU is chosen. */
export interface OpenOptions {
  /** Use this instead of looking for one: `navigator.gpu` of another realm, or that of a Dawn that you made. */
  readonly gpu?: GpuEntry
  /** Default "high-performance". */
  readonly powerPreference?: "low-power" | "high-performance"
  /** Refuse adapters that render on the CPU. Default false. */
  readonly hardwareOnly?: boolean
}

/** @internal An adapter and its device with all limits that the adapter has. */
export interface OpenedGpu {
  readonly adapter: GPUAdapter
  readonly device: GPUDevice
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** Dawn's entry point: it must outlive everything that was made from it, and one is enough. */
let dawn: GPU | null = null

/** @internal The entry point of WebGPU here, or why there is none. */
export async function findGpu(given?: GpuEntry): Promise<GPU | string> {
  if (given) return given as GPU
  const { navigator, process } = globalThis as { navigator?: Navigator; process?: { versions?: { node?: string } } }
  if (navigator && "gpu" in navigator && navigator.gpu) return navigator.gpu
  if (!process?.versions?.node) return "this browser has no WebGPU (or the page is not a secure context)"
  try {
    // A name that bundlers do not see: the package is optional, and only for Node.
    const name = "webgpu"
    const { create, globals } = (await import(/* @vite-ignore */ /* webpackIgnore: true */ name)) as {
      create: (flags: string[]) => GPU
      globals: object
    }
    Object.assign(globalThis, globals)
    return (dawn ??= create([]))
  } catch (error) {
    return `the npm package "webgpu" is not installed or does not load: ${textOf(error)}`
  }
}

/** What kernels count on: WebGPU's defaults, of which adapters in compatibility mode fall short. */
const neededLimits = [
  ["maxComputeInvocationsPerWorkgroup", 256],
  ["maxComputeWorkgroupSizeX", 256],
  ["maxComputeWorkgroupStorageSize", 16384],
  ["maxStorageBuffersPerShaderStage", 8],
] as const

/** @internal The adapter, or why there is none. */
export async function findAdapter(options: OpenOptions): Promise<GPUAdapter | string> {
  const gpu = await findGpu(options.gpu)
  if (typeof gpu === "string") return gpu
  const { powerPreference = "high-performance" } = options
  let adapter: GPUAdapter | null
  try {
    adapter = await gpu.requestAdapter({ powerPreference })
  } catch (error) {
    return `WebGPU is there but its search for an adapter failed: ${textOf(error)}`
  }
  if (!adapter) return "WebGPU is there but found no adapter (no GPU, or no driver for it)"
  const { limits } = adapter
  const short = neededLimits.find(([name, least]) => limits[name] < least)
  if (short) {
    const [name, least] = short
    return `the adapter's ${name} is too small: got ${limits[name]}, expected at least ${least}, which WebGPU promises`
  }
  if (options.hardwareOnly && rendersOnCpu(adapter.info)) {
    const { vendor, architecture, description } = adapter.info
    const name = description || [vendor, architecture].filter(Boolean).join(" ") || "a fallback adapter"
    return `the only adapter (${name}) renders on the CPU, where wasm-simd is faster; ask for "webgpu" by name to use it`
  }
  return adapter
}

/** @internal True for adapters that are programs: SwiftShader, lavapipe, Microsoft's WARP. */
export function rendersOnCpu({ isFallbackAdapter, vendor, architecture, description }: GPUAdapterInfo): boolean {
  if (isFallbackAdapter || (vendor === "google" && architecture === "swiftshader")) return true
  return /swiftshader|llvmpipe|lavapipe|basic render/i.test(description)
}

const wantedFeatures: readonly GPUFeatureName[] = ["shader-f16", "subgroups" as GPUFeatureName, "timestamp-query"]
const wantedLimits = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupsPerDimension",
] as const

/** @internal Opens the adapter's device with everything that kernels can use. Throws a DeviceError that says why not. */
export async function openGpu(options: OpenOptions): Promise<OpenedGpu> {
  const adapter = await findAdapter(options)
  if (typeof adapter === "string") throw new DeviceError(`webgpu: cannot be opened: ${adapter}`)
  const requiredFeatures = wantedFeatures.filter((name) => adapter.features.has(name))
  const requiredLimits = Object.fromEntries(wantedLimits.map((name) => [name, adapter.limits[name]]))
  try {
    const device = await adapter.requestDevice({ label: "rondo", requiredFeatures, requiredLimits })
    return { adapter, device }
  } catch (error) {
    throw new DeviceError(`webgpu: cannot be opened: the adapter gives no device: ${textOf(error)}`)
  }
}
