// Which single operations are timed. A name says everything (`matmul NT 512`, `tanh 1M`): pytorch.py reads names only.

/** One operation on float32 values between -1 and 1. */
export interface Operation {
  readonly name: string
  readonly kind: "matmul" | "add" | "exp" | "tanh" | "sigmoid" | "sum" | "softmax" | "small" | "recurrence"
  /** Matmul: both factors are [size, size]. Softmax: [size, size] over the last dim. Recurrence: units. Others: elements. */
  readonly size: number
  /** Recurrence: sequences. */
  readonly batch?: number
  /** Matmul: which factor is a transposed view. */
  readonly transposed?: "N" | "A" | "B"
  /** Small: bare calls, recorded for gradients, or recorded and gone back through. */
  readonly mode?: "bare" | "recorded" | "backward"
  /** Floating point operations (matmul, recurrence) or elements a call, for the rate. */
  readonly work: number
}

/** Adds chained in one recorded graph; times are per add. */
export const chain = 100

const sizes = { "64K": 2 ** 16, "1M": 2 ** 20 } as const
type SizeName = keyof typeof sizes
const sizeNames = Object.keys(sizes) as SizeName[]

const matmuls = [64, 256, 512, 1024].flatMap((size) =>
  (["NN", "NT", "TN"] as const).map((layout): Operation => {
    const transposed = layout === "NN" ? "N" : layout === "NT" ? "B" : "A"
    return { name: `matmul ${layout} ${size}`, kind: "matmul", size, transposed, work: 2 * size ** 3 }
  }),
)
const elementwise = (["add", "exp", "tanh", "sigmoid", "sum"] as const).flatMap((kind) =>
  sizeNames.map((name): Operation => ({ name: `${kind} ${name}`, kind, size: sizes[name], work: sizes[name] })),
)
const softmaxes = sizeNames.map((name): Operation => ({
  name: `softmax ${name}`,
  kind: "softmax",
  size: Math.sqrt(sizes[name]),
  work: sizes[name],
}))
const smalls: Operation[] = [
  { name: "add 16", kind: "small", size: 16, mode: "bare", work: 16 },
  { name: "add 16 recorded", kind: "small", size: 16, mode: "recorded", work: 16 },
  { name: "add 16 and backward", kind: "small", size: 16, mode: "backward", work: 16 },
]

/** Time steps of a recurrence. */
export const steps = 64
// h = relu(p_t + h W^T + b): nearly nothing but products of few rows with one matrix, which may be laid out once for all steps.
const recurrences = [[32, 64], [32, 128], [8, 128], [8, 512], [32, 512]].map(([batch, size]): Operation => ({
  name: `recurrence ${batch} ${size}`,
  kind: "recurrence",
  size,
  batch,
  work: 2 * steps * batch * size ** 2,
})) // prettier-ignore

/** All, in the order of the table. */
export const operations: readonly Operation[] = [...matmuls, ...recurrences, ...elementwise, ...softmaxes, ...smalls]
