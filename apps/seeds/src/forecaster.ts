// A small recurrent forecaster for daily series: windows, scaling from the training span only, early stopping.
import { type Samples, windows } from "@rondo/datasets"
import { Adam, mseLoss, noGrad, tensor, type Tensor } from "rondo"
import { LastStateRNN, parameterCount } from "./models.js"
import type { Session } from "./session.js"

/** Mean and deviation of every feature. */
export interface Scale {
  readonly mean: readonly number[]
  readonly deviation: readonly number[]
}

/** A series of features with what is to be forecast, and how many days its three spans have. */
export interface Features {
  /** One row of features a day. */
  readonly rows: readonly (readonly number[])[]
  /** What is to be forecast, the first of the features, in its own unit. */
  readonly target: readonly number[]
  /** Days of train, validation and test, in this order. */
  readonly spans: readonly number[]
  /** From the training span only: what comes later must not be known. */
  readonly scale: Scale
  /** The model gives the value itself; without it, the change from the last day. */
  readonly noChange?: boolean
}

export interface FitOptions {
  /** Days that a forecast sees. */
  readonly window: number
  readonly neurons: number
  readonly rate: number
  /** At most. */
  readonly epochs: number
  /** Epochs without a better validation loss before training stops. */
  readonly patience: number
}

/** A trained forecaster's forecasts for the test span, in the target's unit. */
export interface Fitted {
  readonly test: readonly number[]
  readonly epochs: number
  /** The epoch whose weights were kept. */
  readonly best: number
  readonly parameters: number
}

/** Mean and deviation of each column. */
export function scaling(rows: readonly (readonly number[])[]): Scale {
  const mean = rows[0].map((_, c) => rows.reduce((sum, row) => sum + row[c], 0) / rows.length)
  const deviation = mean.map((m, c) => Math.sqrt(rows.reduce((sum, row) => sum + (row[c] - m) ** 2, 0) / rows.length))
  return { mean, deviation }
}

interface Spans {
  readonly train: Samples
  readonly validation: Samples
  readonly test: Samples
}

/** Windows of each span. A window may reach back into the span before it: those days are past by then. */
function prepare({ rows, spans, scale, noChange }: Features, window: number): Spans {
  const scaled = tensor(rows.map((row) => row.map((value, c) => (value - scale.mean[c]) / scale.deviation[c])))
  const { inputs, targets } = windows(scaled, window)
  const last = inputs.select(1, -1).narrow(1, 0, 1) // today's value, [N, 1]
  const next = targets.narrow(1, 0, 1)
  const answers = noChange ? next : next.sub(last)
  const [train, validation] = [spans[0] - window, spans[1]]
  const part = (from: number, count: number): Samples => ({
    inputs: inputs.narrow(0, from, count).contiguous(),
    targets: answers.narrow(0, from, count).contiguous(),
  })
  const from = train + validation
  return { train: part(0, train), validation: part(train, validation), test: part(from, inputs.shape[0] - from) }
}

/** Trains with Adam on all windows at once and keeps the weights that were best in validation. */
async function fit(
  session: Session,
  model: LastStateRNN,
  spans: Spans,
  options: FitOptions,
): Promise<{ epochs: number; best: number }> {
  // prettier-ignore
  const optimizer = new Adam(model.parameters(), { lr: options.rate })
  const lossOn = ({ inputs, targets }: Samples): Tensor => mseLoss(model.forward(inputs), targets)
  const snapshot = (): Record<string, Tensor> =>
    Object.fromEntries(Object.entries(model.stateDict()).map(([name, value]) => [name, value.clone()]))
  let kept = { loss: Infinity, epoch: 0, state: snapshot() }
  const progress = session.progress("forecaster", options.epochs)
  let epoch = 0
  while (epoch < options.epochs && epoch - kept.epoch <= options.patience) {
    epoch++
    const loss = lossOn(spans.train)
    optimizer.zeroGrad()
    loss.backward()
    optimizer.step()
    const validation = await noGrad(() => lossOn(spans.validation)).item()
    if (validation < kept.loss) kept = { loss: validation, epoch, state: snapshot() }
    await progress.update(epoch, () => `validation loss ${validation.toPrecision(4)}`)
  }
  progress.stop()
  model.loadStateDict(kept.state)
  return { epochs: epoch, best: kept.epoch }
}

/** Trains a forecaster and gives its forecasts for the test span. */
export async function fitForecaster(session: Session, features: Features, options: FitOptions): Promise<Fitted> {
  const spans = prepare(features, options.window)
  const model = new LastStateRNN(features.rows[0].length, options.neurons, 1)
  const run = await fit(session, model, spans, options)
  const outputs = (await noGrad(() => model.forward(spans.test.inputs)).data()) as Float32Array
  const first = features.target.length - spans.test.inputs.shape[0]
  const { mean, deviation } = features.scale
  const test = Array.from(outputs, (output, i) =>
    features.noChange ? mean[0] + output * deviation[0] : features.target[first + i - 1] + output * deviation[0],
  )
  return { test, ...run, parameters: parameterCount(model) }
}
