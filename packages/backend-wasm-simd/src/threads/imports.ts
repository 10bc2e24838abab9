// What kernels import from JavaScript, once more as text for worker threads, where the functions themselves cannot go. A test
// holds both against each other.

const math = [
  "exp", "expm1", "log", "log1p", "log2", "log10", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "atan2",
] as const // prettier-ignore

/** Imports that workers have. A module that needs another one runs on the calling thread alone. */
export const portable: ReadonlySet<string> = new Set([...math, "sigmoid", "pow", "mod"])

/** Starts the name of an import from another module: its number, its address, its bytes, and the number of the export follow. */
export const linkMark = "@"

/** Defines `imports`, with the functions of imports.ts by name. */
export const importSource = `
const imports = {
  sigmoid(x) {
    const z = Math.exp(-Math.abs(x))
    return (x >= 0 ? 1 : z) / (1 + z)
  },
  pow(x, y) {
    if (x === 1 || (x === -1 && (y === Infinity || y === -Infinity))) return 1
    return Math.pow(x, y)
  },
  mod: (x, y) => x % y,
}
for (const name of ${JSON.stringify(math)}) imports[name] = Math[name]
`
