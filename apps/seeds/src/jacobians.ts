// Notebook 001's formula: the gradient for the recurrent weights as a sum over products of Jacobians, beside autograd's.
import { grad, Linear, randn, type RNN, type Tensor, zeros } from "rondo"
import type { Outcome, Session } from "./session.js"
import { makeLayer } from "./steps.js"
import { columns, relativeDifference, short, tiny } from "./text.js"

const times = 12

/** Everything that the formula needs of a forward pass: states h(0) … h(T), outputs and targets. */
interface Pass {
  readonly layer: RNN
  readonly readOut: Linear
  /** h(0) is the zero state. Each `[H]`. */
  readonly states: readonly Tensor[]
  /** Losses L(1) … L(T), half of the squared error of each output. */
  readonly losses: readonly Tensor[]
  /** dL(t)/do(t), which for this loss is the error. Each `[1]`. */
  readonly errors: readonly Tensor[]
}

function forward(session: Session): Pass {
  const precise = session.device.backend.capabilities.dtypes.includes("float64")
  const dtype = precise ? "float64" : "float32"
  const layer = makeLayer(session).to(dtype)
  const readOut = new Linear(2, 1).to(dtype)
  const x = randn(1, times, 5).to(dtype)
  const targets = randn(times, 1).to(dtype)
  const [output] = layer.forward(x) // [1, T, H]
  const states = [zeros(2, { dtype }), ...Array.from({ length: times }, (_, t) => output.select(0, 0).select(0, t))]
  const errors = states.slice(1).map((h, t) => readOut.forward(h).sub(targets.select(0, t)))
  return { layer, readOut, states, losses: errors.map((e) => e.square().sum().mul(0.5)), errors }
}

/**
 * dL(t)/dW = dL/do · do/dh(t) · Σ over k of (Π over i = k+1 … t of dh(i)/dh(i-1)) · dh(k)/dW, where dh(k)/dW counts the
 * weights of step k only. For tanh, dh(i)/dh(i-1) = diag(1 - h(i)²) W.
 */
function byFormula({ layer, readOut, states, errors }: Pass, t: number): Tensor {
  const weight = layer.weight_hh_l0.detach()
  const slope = (i: number): Tensor => states[i].detach().square().neg().add(1) // 1 - h², [H]
  const jacobian = (i: number): Tensor => slope(i).unsqueeze(1).mul(weight) // [H, H]
  const arriving = errors[t - 1].detach().unsqueeze(0).matmul(readOut.weight.detach()) // dL/do · do/dh(t), [1, H]
  let sum = zeros(2, 2, { dtype: weight.dtype })
  for (let k = 1; k <= t; k++) {
    let product = arriving
    for (let i = t; i > k; i--) product = product.matmul(jacobian(i))
    const direct = product.squeeze(0).mul(slope(k)).unsqueeze(1) // [H, 1]
    sum = sum.add(direct.matmul(states[k - 1].detach().unsqueeze(0)))
  }
  return sum
}

/** Compares the formula with autograd at every time, and for the sum of all losses. */
export async function gradientFormula(session: Session): Promise<Outcome> {
  const pass = forward(session)
  const weight = pass.layer.weight_hh_l0
  const rows = [["t", "L(t)", "formula: norm", "autograd: norm", "largest difference"]]
  const total = pass.losses.reduce((sum, loss) => sum.add(loss))
  let formulaTotal: Tensor | null = null
  let worst = 0
  const compare = async (name: string, loss: Tensor, formula: Tensor): Promise<void> => {
    const [automatic] = grad(loss, weight, { retainGraph: true }) as [Tensor]
    const [a, b] = [await formula.data(), await automatic.data()] as [Float64Array, Float64Array]
    const difference = relativeDifference(a, b)
    worst = Math.max(worst, difference)
    const norms = await Promise.all([formula, automatic].map((g) => g.norm().item()))
    rows.push([name, short(await loss.item()), ...norms.map((norm) => norm.toPrecision(8)), tiny(difference)])
  }
  for (let t = 1; t <= times; t++) {
    const formula = byFormula(pass, t)
    formulaTotal = formulaTotal ? formulaTotal.add(formula) : formula
    await compare(String(t), pass.losses[t - 1], formula)
  }
  await compare("sum", total, formulaTotal!)
  session.print(columns(rows))
  const bound = weight.dtype === "float64" ? 1e-12 : 1e-5
  session.print(`   (${weight.dtype}; differences against the largest element)`)
  return { result: `largest difference ${tiny(worst)}`, expected: `autograd's, within ${tiny(bound)}`, ok: worst <= bound } // prettier-ignore
}
