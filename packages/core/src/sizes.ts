// Bounds of shapes that files may name. It reads no file.

/** Dims of a tensor in a file. PyTorch's and NumPy's own bound. */
export const maxDims = 64

/** Whether sizes multiply to more than 2^53 - 1, those that are 0 aside: strides could not count such a tensor. */
export function overflows(shape: readonly number[]): boolean {
  let product = 1
  for (const size of shape) product *= size === 0 ? 1 : size
  return product > Number.MAX_SAFE_INTEGER
}
