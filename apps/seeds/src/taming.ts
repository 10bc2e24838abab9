// Notebook 001: a training run whose gradients explode, and the same run with clipped gradients and with truncated ones.
import {
  arange,
  clipGradNorm_,
  eye,
  Linear,
  manualSeed,
  Module,
  mseLoss,
  noGrad,
  randn,
  RNN,
  SGD,
  tbptt,
  type Tensor,
} from "rondo"
import { savePlot } from "./plots.js"
import type { Outcome, Session } from "./session.js"
import { columns, short } from "./text.js"

const [batch, time, hidden, updates] = [8, 80, 32, 60]
const gain = 1.6
const largestNorm = 1
const chunk = 5
const rate = 0.1

/** A random orthogonal matrix: a product of reflections, each I - 2 v v' / v'v. */
function randomOrthogonal(size: number, reflections = size): Tensor {
  let q = eye(size)
  for (let i = 0; i < reflections; i++) {
    const v = randn(size, 1)
    q = q.sub(v.matmul(v.t().matmul(q)).mul(2).div(v.square().sum()))
  }
  return q
}

/** A recurrent layer whose recurrent weights stretch every state: gain times an orthogonal matrix. */
class Explosive extends Module {
  rnn = new RNN(1, hidden, { batchFirst: true })
  out = new Linear(hidden, 1)
  constructor() {
    super()
    noGrad(() => this.rnn.weight_hh_l0.copy_(randomOrthogonal(hidden).mul(gain)))
  }
  /** x `[B, T, 1]`: predictions `[B, T, 1]` and the last state. */
  forward(x: Tensor, state: Tensor | null = null): [Tensor, Tensor] {
    const [output, hn] = this.rnn.forward(x, state)
    return [this.out.forward(output), hn]
  }
}

type Treatment = "nothing" | "clipping" | "truncation"

interface Run {
  readonly losses: number[]
  readonly norms: number[]
}

/** Sine waves of random phase, 0.3 a step; the next value is asked for at every step. `[B, T, 1]` each. */
function waves(): { x: Tensor; y: Tensor } {
  const phases = randn(batch, 1, 1)
  const steps = arange(1, time + 1)
    .reshape(1, time, 1)
    .mul(0.3)
  const angles = phases.add(steps)
  return { x: angles.sin(), y: angles.add(0.3).sin() }
}

/** Loss of one pass, whose gradients are left on the model: through the whole graph, or cut every few steps. */
async function pass(model: Explosive, x: Tensor, y: Tensor, treatment: Treatment): Promise<number> {
  const window = treatment === "truncation" ? chunk : time
  // Windows share in the loss by their length; their gradients add up.
  const loss = (output: Tensor, target: Tensor) => mseLoss(output, target).mul(window / time)
  const { losses } = await tbptt(model, { input: x, target: y }, { window, loss, timeDim: 1 })
  return losses.reduce((sum, part) => sum + part)
}

async function train(session: Session, treatment: Treatment): Promise<Run> {
  manualSeed(session.seed)
  const model = new Explosive()
  const { x, y } = waves()
  const optimizer = new SGD(model.parameters(), { lr: rate })
  const run: Run = { losses: [], norms: [] }
  for (let update = 0; update < updates; update++) {
    optimizer.zeroGrad()
    const loss = await pass(model, x, y, treatment)
    // An infinite bound changes nothing: it only measures.
    const norm = clipGradNorm_(model.parameters(), treatment === "clipping" ? largestNorm : Infinity)
    optimizer.step()
    run.losses.push(loss)
    run.norms.push(await norm.item())
  }
  return run
}

/** Trains three times from the same start. */
export async function taming(session: Session): Promise<Outcome> {
  const names = {
    nothing: "as it is",
    clipping: `norm clipped to ${largestNorm}`,
    truncation: `cut every ${chunk} steps`,
  }
  const rows = [["gradients", "largest norm", "first loss", "worst loss", "last loss"]]
  const runs = {} as Record<Treatment, Run>
  for (const [treatment, name] of Object.entries(names) as [Treatment, string][]) {
    const run = (runs[treatment] = await train(session, treatment))
    const worst = run.losses.some(Number.isNaN) ? NaN : Math.max(...run.losses)
    rows.push([name, short(Math.max(...run.norms.filter(Number.isFinite))), ...[run.losses[0], worst, run.losses.at(-1)!].map(short)]) // prettier-ignore
  }
  session.print(columns(rows))
  await savePlot(session, {
    file: "taming.svg",
    title: "A training run with exploding gradients",
    x: "update",
    y: "mean squared error",
    lines: Object.entries(names).map(([key, name]) => ({
      name,
      points: runs[key as Treatment].losses.map((loss, i) => [i, loss]),
    })),
    log: true,
    top: 1e4,
  })
  const last = (treatment: Treatment) => runs[treatment].losses.at(-1)!
  const start = runs.nothing.losses[0]
  const exploded = !(last("nothing") < 10 * start)
  const tamed = last("clipping") < start && last("truncation") < start
  const result = `losses ${short(last("nothing"))}; ${short(last("clipping"))}; ${short(last("truncation"))}`
  return { result, expected: `explodes; below ${short(start)} twice`, ok: exploded && tamed }
}
