// Notebook 002's training loop, and how its losses stand beside PyTorch's for the same seed.
import type { Samples } from "@rondo/datasets"
import { Adam, clipGradNorm_, type Module, mseLoss, noGrad, scope, type Tensor } from "rondo"
import type { Reference } from "./figures.js"
import { parameterCount } from "./models.js"
import { noReference, type Outcome, type Session } from "./session.js"
import { columns, short, tiny } from "./text.js"

/** A model that turns sequences into answers. */
export type Predictor = Module & { forward(x: Tensor): Tensor }

/** What is to be trained on what. */
export interface Plan {
  readonly name: string
  readonly model: Predictor
  readonly data: Samples
  readonly test: Samples
  /** Epochs of the notebook. */
  readonly epochs: number
  /** Epochs to run here. */
  readonly run: number
  readonly reference: Reference
  /** Rows of a minibatch, taken in order. Default: all rows at once. */
  readonly batch?: number
  /** Step size of Adam. Default 0.01, the notebook's. */
  readonly rate?: number
  /** Largest norm of the gradients. Default: any. */
  readonly clip?: number
}

/** Losses at some epochs, and the test loss after the last. */
export interface Curve {
  readonly points: readonly { readonly epoch: number; readonly train: number; readonly test: number }[]
  readonly final: number
}

/** Differences up to this are rounding, whatever the spread. */
const rounding = 1e-5
/** A loss may be off by this many times what nudging the start by one unit in the last place does to PyTorch's own. */
const allowance = 10
/** Where PyTorch's own losses move by more than this, agreement means nothing: shown, not judged. */
const chaos = 0.005

/** Answers `[B, 1]` lose their last dim where targets are `[B]`, as the notebook's squeeze does. */
function lossOf(model: Predictor, { inputs, targets }: Samples): Tensor {
  const outputs = model.forward(inputs)
  return mseLoss(targets.ndim === 1 ? outputs.squeeze(1) : outputs, targets)
}

async function testLoss(plan: Plan): Promise<number> {
  return noGrad(() => lossOf(plan.model, plan.test)).item()
}

/** Rows [0, count) and the rest: the notebook's split of train and test. */
export function splitAt({ inputs, targets }: Samples, count: number): { data: Samples; test: Samples } {
  const part = (from: number, to: number): Samples => ({
    inputs: inputs.slice(0, from, to),
    targets: targets.slice(0, from, to),
  })
  return { data: part(0, count), test: part(count, inputs.shape[0]) }
}

/** One pass over the data with a step after each minibatch; gives the mean of their losses. */
function runEpoch({ model, data, batch, clip }: Plan, optimizer: Adam): Tensor {
  const rows = data.inputs.shape[0]
  const size = batch ?? rows
  const losses: Tensor[] = []
  for (let from = 0; from < rows; from += size) {
    const count = Math.min(size, rows - from)
    const loss = scope(() => {
      const part = { inputs: data.inputs.narrow(0, from, count), targets: data.targets.narrow(0, from, count) }
      const loss = lossOf(model, part)
      optimizer.zeroGrad()
      loss.backward()
      if (clip !== undefined) clipGradNorm_(model.parameters(), clip)
      optimizer.step()
      return loss.detach().mul(count / rows)
    })
    losses.push(loss)
  }
  return losses.reduce((sum, loss) => sum.add(loss))
}

/** Trains with Adam; notes losses wherever the reference has them. */
export async function train(session: Session, plan: Plan): Promise<Curve> {
  const optimizer = new Adam(plan.model.parameters(), { lr: plan.rate ?? 0.01 })
  const marks = new Set(plan.reference.losses.map(([epoch]) => epoch))
  const points: { epoch: number; train: number; test: number }[] = []
  const progress = session.progress(plan.name, plan.run)
  for (let epoch = 0; epoch < plan.run; epoch++) {
    plan.model.train()
    const loss = runEpoch(plan, optimizer)
    if (marks.has(epoch) || epoch === plan.run - 1) {
      points.push({ epoch, train: await loss.item(), test: await testLoss(plan) })
    }
    await progress.update(epoch + 1, async () => `loss ${short(await loss.item())}`)
  }
  progress.stop()
  return { points, final: await testLoss(plan) }
}

/** A loss of ours beside PyTorch's. */
interface Comparison {
  readonly difference: number
  readonly tolerance: number
  readonly judged: boolean
}

/** The tolerance at an epoch: what differed once keeps differing, so spreads only grow. */
function tolerances(reference: Reference): Map<number, { tolerance: number; judged: boolean }> {
  let most = 0
  return new Map(
    reference.losses.map(([epoch, , , train, test]) => {
      most = Math.max(most, train, test)
      return [epoch, { tolerance: Math.max(rounding, allowance * most), judged: most <= chaos }]
    }),
  )
}

/** Every epoch of a tenth of the run, and the first and the last: what the notebook prints. */
function isShown(epoch: number, run: number): boolean {
  return epoch % Math.max(1, Math.floor(run / 10)) === 0 || epoch === run - 1
}

/** Prints the curve beside PyTorch's and says whether they agree. */
export function compare(session: Session, plan: Plan, curve: Curve): Outcome {
  const known = new Map(plan.reference.losses.map((row) => [row[0], row]))
  const bounds = tolerances(plan.reference)
  const judged: Comparison[] = []
  const table = [["epoch", "train loss", "PyTorch", "test loss", "PyTorch", "difference", "allowed"]]
  for (const { epoch, train: own, test } of curve.points) {
    const row = session.hasReference ? known.get(epoch) : undefined
    const bound = row && bounds.get(epoch)
    let cells = [String(epoch), short(own), "-", short(test), "-", "-", "-"]
    if (row && bound) {
      const difference = Math.max(Math.abs(own / row[1] - 1), Math.abs(test / row[2] - 1))
      judged.push({ difference, ...bound })
      const allowed = bound.judged ? tiny(bound.tolerance) : "not judged"
      cells = [String(epoch), short(own), short(row[1]), short(test), short(row[2]), tiny(difference), allowed]
    }
    if (isShown(epoch, plan.run)) table.push(cells)
  }
  session.print(columns(table))
  return outcome(session, plan, curve, judged)
}

function outcome(session: Session, plan: Plan, curve: Curve, comparisons: readonly Comparison[]): Outcome {
  const shortened = plan.run < plan.epochs ? ` (${plan.run} of ${plan.epochs} epochs)` : ""
  const result = `test ${short(curve.final)}${shortened}`
  const count = parameterCount(plan.model)
  const rightSize = count === plan.reference.parameters
  session.print(`   ${count} parameters; test loss after ${plan.run} epochs: ${short(curve.final)}`)
  if (!session.hasReference) {
    const finite = Number.isFinite(curve.final)
    return { result, expected: noReference, ok: rightSize && finite ? null : false }
  }
  const held = comparisons.filter((comparison) => comparison.judged)
  const good = held.filter(({ difference, tolerance }) => difference <= tolerance)
  if (held.length < comparisons.length) {
    session.print("   Not judged: there PyTorch's own losses move by over 0.5 % when its start moves by one unit in the last place.") // prettier-ignore
  }
  const atEnd = plan.run === plan.epochs ? short(plan.reference.test[0]) : short(lastKnown(plan, curve))
  const expected = `test ${atEnd}; ${good.length} of ${held.length} epochs agree`
  return { result, expected, ok: rightSize && held.length > 0 && good.length === held.length }
}

/** PyTorch's test loss at the last epoch that both have. */
function lastKnown(plan: Plan, curve: Curve): number {
  const epochs = new Set(curve.points.map(({ epoch }) => epoch))
  return plan.reference.losses.filter(([epoch]) => epochs.has(epoch)).at(-1)![2]
}
