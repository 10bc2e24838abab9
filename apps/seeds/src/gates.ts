// Notebook 002's last words, put to the test: where a plain RNN forgets, LSTM or GRU remembers. The same data, sizes and
// optimiser for the three, from the same place of the random stream.
import { adding, type Samples } from "@rondo/datasets"
import { gradientFlow, GRU, LSTM, manualSeed, mseLoss, noGrad, RNN, tensor } from "rondo"
import { expected, type Reference } from "./figures.js"
import { LastOutputRNN } from "./models.js"
import { savePlot, terminalPlot } from "./plots.js"
import { noReference, type Outcome, type Session } from "./session.js"
import { columns, short, tiny } from "./text.js"
import { compare, type Curve, splitAt, train } from "./training.js"

const layers = { RNN, LSTM, GRU }
type Kind = keyof typeof layers
const kinds = Object.keys(layers) as Kind[]

const [time, neurons, batch] = [100, 16, 50]
const rate = 0.02
const clip = 1
/** Enough to see the claim, and all. */
const [shortened, epochs] = [20, 40]
/** The variance of the first element is 1: who forgets it cannot do better; who is far below remembers it. */
const [forgotten, remembered] = [0.5, 0.1]

const references = expected.gates as unknown as Record<Kind, Reference & { readonly gradients: readonly number[] }>

/**
 * Gates that start open for times from 1 step to the whole sequence: the bias of LSTM's forget gate and of GRU's update
 * gate is log of the time, that of LSTM's input gate minus it. The chrono initialisation of Tallec and Ollivier ("Can
 * recurrent neural networks warp time?", 2018, equation 16), its times evenly spaced instead of drawn. With PyTorch's
 * own start values gates forget within some steps, and neither layer learns this task in the epochs given here.
 */
function openGates(layer: RNN | LSTM | GRU): void {
  if (layer instanceof RNN) return
  const size = layer.hiddenSize
  const times = Array.from({ length: size }, (_, i) => 1 + (i * (time - 2)) / (size - 1))
  // Rows are i f g o in LSTM and r z n in GRU: the gate that keeps is the second of both.
  const keeping = tensor(times.map(Math.log))
  const gate = (name: "bias_ih_l0" | "bias_hh_l0", index: number) => layer[name].narrow(0, index * size, size)
  noGrad(() => {
    gate("bias_ih_l0", 1).copy_(keeping)
    gate("bias_hh_l0", 1).zero_()
    if (layer instanceof GRU) return
    gate("bias_ih_l0", 0).copy_(keeping.neg())
    gate("bias_hh_l0", 0).zero_()
  })
}

interface Contender {
  readonly model: LastOutputRNN
  readonly data: Samples
  readonly test: Samples
}

/** Draws the same data every time, and the model from where that leaves the stream. */
function prepare(session: Session, kind: Kind): Contender {
  manualSeed(session.seed)
  const samples = splitAt(adding(1200, { length: time, positions: [0, -1] }), 1000)
  const model = new LastOutputRNN(1, neurons, 1, layers[kind])
  openGates(model.rnn)
  return { model, ...samples }
}

/** The largest relative difference, norm by norm; those that float32 cannot hold to a few digits do not count. */
const most = (got: readonly number[], wanted: readonly number[]): number =>
  Math.max(...wanted.map((value, i) => (value < 1e-30 ? 0 : Math.abs(got[i] / value - 1))))

/** How much of the loss's gradient arrives at the first step, before any training. */
async function arriving(session: Session): Promise<Outcome> {
  const precise = session.device.backend.capabilities.dtypes.includes("float64")
  const dtype = precise ? "float64" : "float32"
  const rows = [["layer", ...[99, 75, 50, 25, 0].map((back) => `${back} back`), "first / last", "PyTorch differs by"]]
  const norms = {} as Record<Kind, readonly number[]>
  let worst = 0
  for (const kind of kinds) {
    const { model, data } = prepare(session, kind)
    const [x, y] = [data.inputs, data.targets].map((part) => part.narrow(0, 0, batch).to(dtype))
    const [flow] = await gradientFlow(() => mseLoss(model.to(dtype).forward(x), y))
    const found = (norms[kind] = flow.second ?? flow.norms) // of LSTM, what its memory receives
    const difference = session.hasReference ? most(found, references[kind].gradients) : 0
    worst = Math.max(worst, difference)
    const shown = [0, 24, 49, 74, 99].map((t) => short(found[t]))
    rows.push([kind, ...shown, tiny(found[0] / found[time - 1]), session.hasReference ? tiny(difference) : "-"])
  }
  session.print(columns(rows))
  session.print(`   (norms of the gradient for the state so many steps back, of LSTM for its memory; ${dtype})`)
  await savePlot(session, {
    file: "gates-gradient.svg",
    title: "Gradient of the loss for each state, before training",
    x: "time step",
    y: "norm",
    lines: kinds.map((kind) => ({ name: kind, points: norms[kind].map((norm, t) => [t, norm]) })),
    log: true,
  })
  const ratio = (kind: Kind) => norms[kind][0] / norms[kind][time - 1]
  const result = kinds.map((kind) => `${kind} ${tiny(ratio(kind))}`).join(", ")
  const vanishes = ratio("RNN") < 1e-6 * Math.min(ratio("LSTM"), ratio("GRU"))
  const beside = session.hasReference ? "PyTorch's, 1e-3" : noReference
  return { result, expected: `RNN's vanishes; ${beside}`, ok: vanishes && worst < 1e-3 }
}

/** The claim: at the end of training the plain layer has not learned the first element, and a gated one has. */
async function claim(session: Session, curves: Readonly<Record<Kind, Curve>>, run: number): Promise<Outcome> {
  terminalPlot(session, kinds.map((kind) => ({ name: `${kind}, test loss`, values: curves[kind].points.map(({ test }) => test) }))) // prettier-ignore
  await savePlot(session, {
    file: "gates.svg",
    title: `Adding the first and the last of ${time} numbers: test loss`,
    x: "epoch",
    y: "mean squared error",
    lines: [
      ...kinds.map((kind) => ({ name: kind, points: curves[kind].points.map(({ epoch, test }) => [epoch, test] as const) })), // prettier-ignore
      { name: "variance of the first number", points: [[0, 1], [run - 1, 1]], dashed: true }, // prettier-ignore
    ],
    log: true,
  })
  const final = (kind: Kind) => curves[kind].final
  const result = kinds.map((kind) => `${kind} ${final(kind).toPrecision(3)}`).join(", ")
  const holds = final("RNN") > forgotten && Math.min(final("LSTM"), final("GRU")) < remembered
  const wanted = `RNN above ${forgotten}, a gated layer below ${remembered}`
  // Fewer epochs than it takes say nothing.
  return { result, expected: wanted, ok: run < shortened && !holds ? null : holds }
}

export async function gates(session: Session): Promise<void> {
  const run = session.epochsOf(epochs, shortened)
  await session.section("gradient at the first of 100 steps", () => arriving(session))
  const curves = {} as Record<Kind, Curve>
  for (const kind of kinds) {
    await session.section(`adding [0] + [-1], length 100, ${kind}`, async () => {
      if (run < epochs) session.print(`   Shortened on ${session.device.name}: ${run} of ${epochs} epochs; --full runs all.`) // prettier-ignore
      const plan = { name: `adding by ${kind}`, ...prepare(session, kind), epochs, run, reference: references[kind], batch, rate, clip } // prettier-ignore
      curves[kind] = await train(session, plan)
      return compare(session, plan, curves[kind])
    })
  }
  await session.section("RNN forgets, LSTM or GRU remembers", () => claim(session, curves, run))
}
