// Whether a device keeps denormal numbers, and what the suite must know if it does not.
import { type Backend, e, type View } from "@rondo/backend"
import type { Deviation } from "../src/deviation.js"

/** True if the device makes zero of 2^-149 + 0: WGSL lets devices do that (https://www.w3.org/TR/WGSL/#floating-point-evaluation). */
async function flushes(backend: Backend): Promise<boolean> {
  const storage = backend.alloc(8)
  try {
    backend.write(storage, new Float32Array([2 ** -149, 0]))
    const at = (offset: number): View => ({ storage, dtype: "float32", shape: [1], strides: [1], offset })
    backend.run({ kind: "map", exprs: [e.add(e.input(0, "float32"), e.scalar(0, "float32"))] }, [at(0)], [at(1)], [0])
    return new Float32Array(await backend.read(storage, 0, 8))[1] === 0
  } finally {
    backend.free(storage)
  }
}

/** The deviations of a device for its treatment of denormal numbers; it is closed afterwards. */
export async function denormalDeviations(backend: Backend): Promise<Deviation[]> {
  const flushed = await flushes(backend)
  await backend.close?.()
  if (!flushed) return []
  return ["map.add", "map.sub"].map((op) => ({
    check: "kernels",
    op,
    dtype: "float32",
    case: /denormal/,
    kind: "tolerance",
    // Two operands of almost 2^-126 each.
    tolerance: { atol: 2 ** -125 },
    reason: "this device flushes denormal numbers to zero, as WGSL allows",
  }))
}
