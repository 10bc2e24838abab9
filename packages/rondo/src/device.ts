// Which devices there are, in order of preference, and opening one. Each backend is loaded only when it is asked for.
import { type BackendProvider, type DeviceStatus, listDevices, openBackend } from "@rondo/backend"
import { currentDevice, Device, hasDevice, use } from "@rondo/core"

/** A device that this version knows by name but does not contain. */
const notYet = (name: string): BackendProvider => ({
  name,
  unavailable: async () => "this version of Rondo does not contain it yet",
  open: () => Promise.reject(new Error(`${name} is not part of this version of Rondo`)),
})

/** Fastest first: the order in which `"auto"` tries. */
const providers: readonly BackendProvider[] = [
  notYet("cuda-addon"),
  {
    name: "webgpu",
    unavailable: async () => (await import("@rondo/backend-webgpu")).webGpu().unavailable(),
    open: async () => (await import("@rondo/backend-webgpu")).webGpu().open(),
  },
  {
    name: "wasm-simd",
    unavailable: async () => (await import("@rondo/backend-wasm-simd")).wasmSimd().unavailable(),
    open: async () => (await import("@rondo/backend-wasm-simd")).wasmSimd().open(),
  },
  {
    name: "cpu-js",
    unavailable: async () => null,
    open: async () => new (await import("@rondo/backend-cpu-js")).CpuJs(),
  },
]

/** As above, for `"auto"`: a GPU that is played by the processor is slower than wasm-simd, and taken only by name. */
const automatic = providers.map((provider): BackendProvider => {
  if (provider.name !== "webgpu") return provider
  const unavailable = async () => (await import("@rondo/backend-webgpu")).webGpu({ hardwareOnly: true }).unavailable()
  return { ...provider, unavailable }
})

const aliases: Readonly<Record<string, string>> = { cuda: "cuda-addon", cpu: "cpu-js", wasm: "wasm-simd" }
const opened = new Map<string, Promise<Device>>()
/** Devices that were lost. */
const gone = new WeakSet<Device>()

/**
 * Opens a device and, if none was opened before (or that one was lost or closed), makes it the one on which tensors are created.
 * `"auto"` takes the fastest that can be had here; a GPU that is played by the processor is taken by name only. Opening a
 * device again gives the same one, until it is lost, as GPUs can be, or closed (`dev.backend.close()`): then it is opened anew.
 * Throws a DeviceError that says why each device was passed over.
 *
 * @example
 * ```ts
 * const dev = await device("auto")
 * console.log(dev.name) // …
 * for (const { name, available, reason } of await devices()) console.log(name, available ? "can be had" : reason)
 * ```
 */
export async function device(name: string = "auto"): Promise<Device> {
  const list = name === "auto" ? automatic : providers
  const { backend: found } = await openBackend(aliases[name] ?? name, list, openOnce)
  if (!hasDevice() || gone.has(currentDevice()) || currentDevice().backend.closed) use(found)
  return found
}

async function openOnce(provider: BackendProvider): Promise<Device> {
  const known = opened.get(provider.name)
  if (known) {
    const device = await known
    if (!device.backend.closed) return device
    // Whoever else waited here may have opened it anew by now.
    if (opened.get(provider.name) === known) opened.delete(provider.name)
    return openOnce(provider)
  }
  const forget = (): void => {
    if (opened.get(provider.name) === made) opened.delete(provider.name)
  }
  const made = provider.open().then((backend) => {
    const device = new Device(backend)
    void backend.lost?.then(() => {
      gone.add(device)
      forget()
    })
    return device
  })
  opened.set(provider.name, made)
  made.catch(forget)
  return made
}

/**
 * Every device with whether it can be had here, and if not, why.
 *
 * @example
 * ```ts
 * const names = (await devices()).filter(({ available }) => available).map(({ name }) => name)
 * console.log(names.includes("cpu-js")) // true
 * ```
 */
export const devices = (): Promise<DeviceStatus[]> => listDevices(providers)
