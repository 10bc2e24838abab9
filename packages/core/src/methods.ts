// Gives Tensor its methods: every operation of the tables, reading, and going backwards. The one place that does so.
// Device and `use` leave the package from here: no tensor exists without a device, so a bundler that takes only what a
// program names cannot leave the methods behind.
import { type Backend, DeviceError, type DType, type HostArray } from "@rondo/backend"
import { describe } from "./arguments.js"
import { backward, type BackwardOptions } from "./autograd.js"
import { Device as BareDevice, setDefault } from "./device.js"
import * as host from "./host.js"
import { readDim } from "./op.js"
import { methodName, ops, toDType } from "./ops/index.js"
import type { PrintOptions } from "./print/index.js"
import * as sampling from "./sampling.js"
import { sizeOf } from "@rondo/backend"
import { Tensor as Bare } from "./tensor.js"
import { installViewRules } from "./windows.js"

type Generator = Parameters<typeof sampling.uniform_>[3]

/** Methods that are not operations of the tables. */
export interface TensorMethods {
  /** Adds gradients to all leaves that this tensor depends on: see {@link backward}. */
  backward(options?: BackwardOptions): void
  /** Converted to a dtype, at once; or copied to a device, awaited. */
  to(dtype: DType): Bare
  to(device: BareDevice): Promise<Bare>
  /** Size of one dim, or the whole shape. */
  size(): readonly number[]
  size(dim: number): number
  /** Number of elements. */
  numel(): number
  /** As float32, float64, int32, int64 and bool. */
  float(): Bare
  double(): Bare
  int(): Bare
  long(): Bare
  bool(): Bare
  item(): Promise<number>
  itemSync(): number
  data(): Promise<HostArray>
  dataSync(): HostArray
  tolist(): Promise<host.Nested>
  tolistSync(): host.Nested
  print(options?: Partial<PrintOptions>): Promise<string>
  printSync(options?: Partial<PrintOptions>): string
  uniform_(from?: number, to?: number, generator?: Generator): Bare
  normal_(mean?: number, std?: number, generator?: Generator): Bare
  bernoulli_(p?: number, generator?: Generator): Bare
  exponential_(lambda?: number, generator?: Generator): Bare
  random_(low: number, high: number, generator?: Generator): Bare
}

declare module "./tensor.js" {
  interface Tensor extends TensorMethods {}
}

type Free = (x: Bare, ...rest: unknown[]) => unknown

function method(f: Free): (this: Bare, ...rest: unknown[]) => unknown {
  return function (this: Bare, ...rest: unknown[]) {
    return rest.length === 0 ? f(this) : rest.length === 1 ? f(this, rest[0]) : f(this, ...rest)
  }
}

function define(name: string, f: Free): void {
  Object.defineProperty(Bare.prototype, name, { value: method(f), writable: true, configurable: true })
}

/** As PyTorch prints it where the device can be read at once; else what can be said without waiting. */
function text(x: Bare): string {
  if (!x.disposed && x.device.backend.readSync) return host.printSync(x)
  const state = x.disposed ? "disposed" : `on ${x.device.name}; await print() shows the elements`
  return `Tensor(${x.dtype}[${x.shape.join(", ")}], ${state})`
}

function install(): typeof Bare {
  for (const [name, operation] of Object.entries(ops)) {
    const as = methodName(name)
    if (as === null) continue
    define(as, operation as unknown as Free)
    if (operation.op.family === "elementwise") define(`${as}_`, operation.op.inPlace)
  }
  const { item, itemSync, data, dataSync, tolist, tolistSync, print, printSync } = host
  const { uniform_, normal_, bernoulli_, exponential_, random_ } = sampling
  const others = {
    item,
    itemSync,
    data,
    dataSync,
    tolist,
    tolistSync,
    print,
    printSync,
    uniform_,
    normal_,
    bernoulli_,
    exponential_,
    random_,
    backward,
  }
  for (const [name, f] of Object.entries(others)) define(name, f as unknown as Free)
  define("to", ((x: Bare, to: DType | BareDevice) =>
    to instanceof BareDevice ? host.toDevice(x, to) : toDType(x, to)) as Free)
  define("size", ((x: Bare, dim?: number) =>
    dim === undefined ? x.shape : x.shape[readDim("size", dim, x.ndim)]) as Free)
  define("numel", (x) => sizeOf(x.shape))
  const conversions = { float: "float32", double: "float64", int: "int32", long: "int64", bool: "bool" } as const
  for (const [name, dtype] of Object.entries(conversions)) define(name, (x) => toDType(x, dtype))
  define("toString", text)
  // What Node's console.log shows.
  Object.defineProperty(Bare.prototype, Symbol.for("nodejs.util.inspect.custom"), { value: method(text) })
  installViewRules()
  return Bare
}

/** The class with its methods: what the package exports. */
export const Tensor: typeof Bare = install()
export type Tensor = Bare

/** An opened backend. Tensors on different devices cannot meet in one operation. */
export const Device: typeof BareDevice = BareDevice
export type Device = BareDevice

/**
 * Makes `device` the one on which tensors are created unless they ask for another. A backend may be given directly.
 * Returns the device.
 *
 * @example
 * ```ts
 * const cpu = use(new CpuJs())
 * console.log(cpu.name) // cpu-js
 * ```
 */
export function use(device: BareDevice | Backend): BareDevice {
  if (typeof device !== "object" || device === null || !("backend" in device || "run" in device))
    throw new DeviceError(`use: needs a device or a backend, got ${describe(device)}`)
  return setDefault(device instanceof BareDevice ? device : new BareDevice(device))
}
