// Whether this host can run the backend, and why not. Opens nothing.

const header = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]

/** A module whose only function leaves a vector on the stack: valid where there is 128-bit SIMD. */
const simdModule = new Uint8Array([
  ...header, 1, 5, 1, 0x60, 0, 1, 0x7b, 3, 2, 1, 0, 10, 8, 1, 6, 0, 0x41, 0, 0xfd, 0x0f, 0x0b,
]) // prettier-ignore

/** A module with a relaxed multiply-add of vectors. */
const relaxedModule = new Uint8Array([
  ...header, 1, 8, 1, 0x60, 3, 0x7b, 0x7b, 0x7b, 1, 0x7b, 3, 2, 1, 0,
  10, 13, 1, 11, 0, 0x20, 0, 0x20, 1, 0x20, 2, 0xfd, 0x85, 2, 0x0b,
]) // prettier-ignore

/** Whether this engine has relaxed SIMD, and with it fused multiply-add. */
export const hasRelaxed = (): boolean => WebAssembly.validate(relaxedModule)

/** Null if the backend can be opened here; otherwise why not, in words for the user. */
export function whyUnavailable(): string | null {
  if (typeof WebAssembly !== "object") return "this JavaScript engine has no WebAssembly"
  if (!WebAssembly.validate(simdModule)) return "this JavaScript engine has WebAssembly, but without 128-bit SIMD"
  try {
    new WebAssembly.Module(new Uint8Array(header))
  } catch (error) {
    return `WebAssembly is forbidden here; a content security policy must allow 'wasm-unsafe-eval' (${textOf(error)})`
  }
  try {
    new WebAssembly.Memory({ initial: 1 })
  } catch (error) {
    return `no WebAssembly memory can be had (${textOf(error)})`
  }
  return null
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
