// Gradients against finite differences: the public check that also holds every operation of this package.
import { GradientError, isFloat, shapeText, sizeOf, ValueError } from "@rondo/backend"
import { argumentReader } from "./arguments.js"
import { grad } from "./autograd.js"
import { upload } from "./host.js"
import { mul } from "./ops/arithmetic.js"
import { sum } from "./ops/reduce.js"
import { noGrad } from "./graph.js"
import { Tensor } from "./tensor.js"

/** Tolerances and step of the check. The defaults suit float64. */
export interface GradcheckOptions {
  /** Step of the central difference. Default 1e-6, as PyTorch's. */
  readonly eps?: number
  readonly atol?: number
  readonly rtol?: number
  /** Return false instead of throwing. */
  readonly raise?: boolean
}

const tolerances = { eps: "number", atol: "number", rtol: "number", raise: "flag" } as const
const readGradcheck = argumentReader("gradcheck", { f: "function", inputs: "array", options: tolerances })
const readGradgradcheck = argumentReader("gradgradcheck", { f: "function", inputs: "array", options: tolerances })

/** A function of tensors, or of whatever else lies among the inputs. */
export type Checked = (...inputs: never[]) => Tensor | readonly Tensor[]

/**
 * Compares the gradients of `f` with central differences in every element of every input that requires gradients.
 * Use float64: in float32 the differences themselves are off. Throws a GradientError that names the first element that is
 * off, or a ValueError where there is nothing to check.
 *
 * @example
 * ```ts
 * const x = tensor([0.5, 1, 2], { dtype: "float64", requiresGrad: true })
 * console.log(await gradcheck((x: Tensor) => x.tanh().mul(x), [x])) // true
 * ```
 */
export async function gradcheck(
  f: Checked,
  inputs: readonly unknown[],
  options: GradcheckOptions = {},
): Promise<boolean> {
  readGradcheck([f, inputs, options])
  const moved = inputs.flatMap((x, i) => (x instanceof Tensor && x.requiresGrad ? [i] : []))
  if (moved.length === 0) throw new ValueError("gradcheck: no input requires gradients")
  const outputs = outputsOf(f, inputs)
  if (outputs.length === 0) throw new GradientError("gradcheck: no output depends on an input that requires gradients")
  for (let o = 0; o < outputs.length; o++) {
    const numeric = await jacobian(f, inputs, moved, o, options.eps ?? 1e-6)
    const analytic = await rows(outputs[o], moved.map((i) => inputs[i] as Tensor)) // prettier-ignore
    const wrong = compare(analytic, numeric, options)
    if (!wrong) continue
    if (options.raise === false) return false
    const [k, element, row, got, expected] = wrong
    const { shape } = inputs[moved[k]] as Tensor
    throw new GradientError(
      `gradcheck: d output ${o}[${row}] / d input ${moved[k]}[${element}] (of ${shapeText(shape)}): got ${got}, finite difference ${expected}`,
    )
  }
  return true
}

/**
 * Checks second derivatives: {@link gradcheck} of the gradients themselves, with fixed gradients of the outputs.
 *
 * @example
 * ```ts
 * const x = tensor([0.5, 1, 2], { dtype: "float64", requiresGrad: true })
 * console.log(await gradgradcheck((x: Tensor) => x.pow(3), [x])) // true
 * ```
 */
export async function gradgradcheck(
  f: Checked,
  inputs: readonly unknown[],
  options: GradcheckOptions = {},
): Promise<boolean> {
  readGradgradcheck([f, inputs, options])
  const moved = inputs.flatMap((x, i) => (x instanceof Tensor && x.requiresGrad ? [i] : []))
  const seeds = outputsOf(f, inputs).map((y, o) => fixedWeights(y, o))
  const first = (...args: Tensor[]): Tensor[] => {
    const outputs = outputsOf(f, args)
    const total = outputs.map((y, o) => sum(mul(y, seeds[o]))).reduce((a, b) => a.add(b))
    const found = grad(total, moved.map((i) => args[i]), { createGraph: true, allowUnused: true }) // prettier-ignore
    return found.filter((g): g is Tensor => g !== null && g.requiresGrad)
  }
  const second = outputsOf(first, inputs)
  // Where the first derivative is constant there is nothing left to differentiate: zero is right.
  return second.length === 0 ? true : gradcheck(first, inputs, { atol: 1e-4, ...options })
}

function outputsOf(f: Checked, inputs: readonly unknown[]): Tensor[] {
  const result = (f as (...args: unknown[]) => Tensor | readonly Tensor[])(...inputs)
  const list = result instanceof Tensor ? [result] : [...result]
  return list.filter((y) => isFloat(y.dtype) && y.requiresGrad)
}

// Weights that differ from element to element, so that errors cannot cancel; any fixed numbers would do.
function fixedWeights(y: Tensor, salt: number): Tensor {
  const values = Float64Array.from({ length: sizeOf(y.shape) }, (_, i) => Math.sin(i * 1.7 + salt + 1) + 1.5)
  return upload(y.device, values, y.shape, "float64").to(y.dtype)
}

/** Central differences: for each moved input, [input element][output element]. */
async function jacobian(
  f: Checked,
  inputs: readonly unknown[],
  moved: readonly number[],
  o: number,
  eps: number,
): Promise<Float64Array[][]> {
  const at = async (i: number, values: Float64Array): Promise<Float64Array> => {
    const x = inputs[i] as Tensor
    const shifted = upload(x.device, values, x.shape, "float64").to(x.dtype).requiresGrad_()
    const args = inputs.map((value, k) => (k === i ? shifted : value))
    const y = outputsOf(f, args)[o]
    return (await noGrad(() => y.detach().to("float64")).data()) as Float64Array
  }
  const result: Float64Array[][] = []
  for (const i of moved) {
    const x = inputs[i] as Tensor
    const base = (await x.detach().to("float64").data()) as Float64Array
    const columns: Float64Array[] = []
    for (let k = 0; k < base.length; k++) {
      const up = await at(i, base.map((v, j) => (j === k ? v + eps : v))) // prettier-ignore
      const down = await at(i, base.map((v, j) => (j === k ? v - eps : v))) // prettier-ignore
      columns.push(up.map((v, j) => (v - down[j]) / (2 * eps)))
    }
    result.push(columns)
  }
  return result
}

/** Gradients of each element of `y`, one backward an element: for each input, [output element][input element]. */
async function rows(y: Tensor, inputs: readonly Tensor[]): Promise<Float64Array[][]> {
  const count = sizeOf(y.shape)
  const result: Float64Array[][] = inputs.map(() => [])
  for (let j = 0; j < count; j++) {
    const unit = new Float64Array(count)
    unit[j] = 1
    const seed = upload(y.device, unit, y.shape, "float64").to(y.dtype)
    const found = grad(y, inputs, { gradOutputs: seed, retainGraph: true, allowUnused: true })
    for (let k = 0; k < inputs.length; k++) {
      const g = found[k]
      result[k].push(
        g ? ((await g.detach().to("float64").data()) as Float64Array) : new Float64Array(sizeOf(inputs[k].shape)),
      )
    }
  }
  return result
}

type Wrong = [input: number, element: number, row: number, got: number, expected: number]

function compare(analytic: Float64Array[][], numeric: Float64Array[][], options: GradcheckOptions): Wrong | null {
  const { atol = 1e-5, rtol = 1e-3 } = options
  for (let k = 0; k < numeric.length; k++) {
    for (let element = 0; element < numeric[k].length; element++) {
      for (let row = 0; row < numeric[k][element].length; row++) {
        const expected = numeric[k][element][row]
        const got = analytic[k][row][element]
        const close = Math.abs(got - expected) <= atol + rtol * Math.abs(expected)
        if (!close) return [k, element, row, got, expected]
      }
    }
  }
  return null
}
