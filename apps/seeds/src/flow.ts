// Notebook 001: what a product of many Jacobians does. Its norm is measured by autograd, for recurrences of known gain.
import { gradientNorms, manualSeed, matmul, randn, tensor, type Tensor, zeros } from "rondo"
import { savePlot } from "./plots.js"
import type { Outcome, Session } from "./session.js"
import { columns, short, tiny } from "./text.js"

const gains = [0.5, 0.9, 1, 1.1, 1.5]
const steps = 50
const shown = [1, 5, 10, 20, 50]

/** gain times a rotation: every power of it has the norm gain^n, so the product is known exactly. */
function rotation(gain: number): Tensor {
  const angle = 0.7
  const [c, s] = [gain * Math.cos(angle), gain * Math.sin(angle)]
  return tensor([
    [c, -s],
    [s, c],
  ])
}

/** Frobenius norms of dh(T)/dh(T-n) for n = 1 … T, over those of the identity. Row j of each comes from output j. */
async function productNorms(weight: Tensor, squash: boolean): Promise<number[]> {
  const inputs = randn(steps, 1, 2).mul(0.1)
  const states: Tensor[] = [zeros(1, 2, { requiresGrad: true })]
  for (let t = 0; t < steps; t++) {
    const next = matmul(states[t], weight.t()).add(inputs.select(0, t))
    states.push(squash ? next.tanh() : next)
  }
  const last = states[steps].squeeze(0)
  const [a, b] = await Promise.all([0, 1].map((j) => gradientNorms(last.select(0, j), states.slice(0, -1))))
  return a.map((norm, t) => Math.hypot(norm, b[t]) / Math.SQRT2).reverse()
}

/** Measures the product for gains below, at and above 1, without and with tanh. */
export async function jacobianProducts(session: Session): Promise<Outcome> {
  manualSeed(session.seed)
  const rows = [["|W|", "recurrence", ...shown.map((n) => `${n} back`), "|W|^50"]]
  const lines: { name: string; points: [number, number][]; dashed?: boolean }[] = []
  let worst = 0
  let squashed = true
  for (const gain of gains) {
    const linear = await productNorms(rotation(gain), false)
    const tanh = await productNorms(rotation(gain), true)
    linear.forEach((norm, i) => (worst = Math.max(worst, Math.abs(norm / gain ** (i + 1) - 1))))
    squashed &&= tanh[steps - 1] <= linear[steps - 1]
    const power = short(gain ** steps)
    rows.push([String(gain), "linear", ...shown.map((n) => short(linear[n - 1])), power])
    rows.push(["", "tanh", ...shown.map((n) => short(tanh[n - 1])), ""])
    lines.push({ name: `|W| = ${gain}`, points: linear.map((norm, i) => [i + 1, norm]) })
  }
  session.print(columns(rows))
  session.print("   Linear: the product is exactly |W|^n. Slopes of tanh are at most 1 and shrink it further.")
  await savePlot(session, {
    file: "gradient-flow.svg",
    title: "Size of the product of Jacobians, linear recurrence",
    x: "steps back in time",
    y: "norm of dh(t)/dh(t-n)",
    lines,
    log: true,
  })
  return { result: `|W|^n within ${tiny(worst)}`, expected: "|W|^n, 1e-4", ok: worst < 1e-4 && squashed }
}
