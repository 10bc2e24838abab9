// Runs a kernel on devices and on the reference, and compares everything that the outputs' storages hold afterwards: what must
// not be touched is compared too.
import { type Backend, hostView, type Kernel, type Storage, type View } from "@rondo/backend"
import { decode, type Operand } from "./operands.js"

/** Operands on one device. Those of the same `data` lie in one storage: an output may be one of the inputs, or a window beside it. */
export class Placement {
  private readonly backend: Backend
  private readonly storages = new Map<Operand["data"], Storage>()

  constructor(backend: Backend) {
    this.backend = backend
  }

  /** The operand's view on the device. */
  view(one: Operand): View {
    let storage = this.storages.get(one.data)
    if (!storage) {
      storage = this.backend.alloc(one.data.byteLength)
      this.backend.write(storage, one.data)
      this.storages.set(one.data, storage)
    }
    return { storage, dtype: one.dtype, shape: one.shape, strides: one.strides, offset: one.offset }
  }

  run(kernel: Kernel, inputs: readonly Operand[], outputs: readonly Operand[], scalars: readonly number[] = []): void {
    const [from, to] = [inputs, outputs].map((list) => list.map((one) => this.view(one)))
    this.backend.run(kernel, from, to, scalars)
  }

  /** All bytes of the operand's storage. */
  bytes(one: Operand): Promise<ArrayBuffer> {
    const { storage } = this.view(one)
    return this.backend.read(storage, 0, storage.bytes)
  }

  /** All elements of the operand's storage, as numbers. */
  async read(one: Operand): Promise<number[]> {
    const list = hostView(one.dtype, await this.bytes(one)) as ArrayLike<number>
    return Array.from(list, (x) => decode(one.dtype, x))
  }

  free(): void {
    for (const storage of this.storages.values()) this.backend.free(storage)
    this.storages.clear()
  }
}

/** Runs a kernel on one device; gives everything that the outputs' storages hold afterwards, as numbers. */
export async function outcome(
  backend: Backend,
  kernel: Kernel,
  inputs: readonly Operand[],
  outputs: readonly Operand[],
  scalars: readonly number[] = [],
): Promise<number[][]> {
  const placement = new Placement(backend)
  try {
    placement.run(kernel, inputs, outputs, scalars)
    return await Promise.all(outputs.map((one) => placement.read(one)))
  } finally {
    placement.free()
  }
}

/** How far results may be from the reference's: relative to them, or to `scale` where they are smaller. */
export interface Tolerance {
  readonly relative: number
  readonly scale: number
}

export const exact: Tolerance = { relative: 0, scale: 0 }

/** Fails unless `got` is within a tolerance of `expected`; zeros of either sign are equal, and NaN only is NaN. */
export function compare(
  note: string,
  got: readonly number[],
  expected: readonly number[],
  { relative, scale }: Tolerance,
): void {
  if (got.length !== expected.length) throw new Error(`${note}: got ${got.length} numbers, not ${expected.length}`)
  for (let i = 0; i < got.length; i++) {
    const [x, y] = [got[i], expected[i]]
    if (Object.is(x, y) || Math.abs(x - y) <= relative * Math.max(Math.abs(y), scale)) continue
    throw new Error(`${note} at ${i}: got ${x}, expected ${y}`)
  }
}

/** Fails unless every device does what the reference does. */
export type Agree = (
  note: string,
  kernel: Kernel,
  inputs: readonly Operand[],
  outputs: readonly Operand[],
  tolerance?: Tolerance,
  scalars?: readonly number[],
) => Promise<void>

/** The comparison of devices with a reference. */
export const agreement =
  (devices: readonly Backend[], reference: Backend): Agree =>
  async (note, kernel, inputs, outputs, tolerance = exact, scalars = []) => {
    const expected = await outcome(reference, kernel, inputs, outputs, scalars)
    for (const [which, device] of devices.entries()) {
      const got = await outcome(device, kernel, inputs, outputs, scalars)
      got.forEach((list, o) => compare(`${note}: device ${which}, output ${o}`, list, expected[o], tolerance))
    }
  }
