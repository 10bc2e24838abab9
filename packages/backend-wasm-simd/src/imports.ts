// Functions of one or two doubles that kernels call out to JavaScript for, lane by lane: what float64 needs, and operands that
// no vector formula is good for.

/** C's pow: unlike Math.pow, 1 to any power is 1, and so is -1 to an infinite one (C99 F.9.4.4). */
function pow(x: number, y: number): number {
  if (x === 1 || (x === -1 && (y === Infinity || y === -Infinity))) return 1
  return Math.pow(x, y)
}

const sigmoid = (x: number): number => {
  const z = Math.exp(-Math.abs(x))
  return (x >= 0 ? 1 : z) / (1 + z)
}

/** Everything that a kernel may import from `env`, beside the memory. All take and give float64. */
export const imports: Readonly<Record<string, (x: number, y: number) => number>> = {
  exp: Math.exp,
  expm1: Math.expm1,
  log: Math.log,
  log1p: Math.log1p,
  log2: Math.log2,
  log10: Math.log10,
  sin: Math.sin,
  cos: Math.cos,
  tan: Math.tan,
  asin: Math.asin,
  acos: Math.acos,
  atan: Math.atan,
  sinh: Math.sinh,
  cosh: Math.cosh,
  tanh: Math.tanh,
  sigmoid,
  pow,
  mod: (x, y) => x % y,
  atan2: Math.atan2,
}
