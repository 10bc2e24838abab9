// Notebook 002: the next number of a ramp, the next point of a trajectory, and what a plain recurrence forgets.
import { adding, ramps, trajectories } from "@rondo/datasets"
import { formatTensor, Linear, manualSeed, noGrad, type Tensor } from "rondo"
import { expected, type Reference } from "./figures.js"
import { LastStateRNN, SteppedRNN } from "./models.js"
import { savePlot } from "./plots.js"
import { noReference, type Outcome, type Session } from "./session.js"
import { indented, sameFigure } from "./text.js"
import { compare, type Curve, type Plan, splitAt, train } from "./training.js"

/** Epochs of the length-100 tasks on a device that is too slow for all of them. */
const shortened = { addingNear: 6, addingFar: 101 }

const reference = expected["002"] as unknown as Record<string, Reference>

/** Trains, compares, and leaves a plot. */
async function study(session: Session, plan: Plan, file: string): Promise<Outcome> {
  const curve = await train(session, plan)
  const outcome = compare(session, plan, curve)
  await plotCurve(session, plan, curve, file)
  return outcome
}

async function plotCurve(session: Session, plan: Plan, { points }: Curve, file: string): Promise<void> {
  await savePlot(session, {
    file,
    title: `${plan.name}: loss`,
    x: "epoch",
    y: "mean squared error",
    lines: [
      { name: "train", points: points.map(({ epoch, train: loss }) => [epoch, loss]) },
      { name: "test", points: points.map(({ epoch, test }) => [epoch, test]), dashed: true },
    ],
    log: true,
  })
}

const text = async (x: Tensor): Promise<string> => formatTensor(await x.data(), x.shape, x.dtype)

/** One neuron, two steps, five rows. The layers are drawn after the data, before the model. */
async function oneNeuron(session: Session, rows: Tensor): Promise<Outcome> {
  const inputWeights = new Linear(1, 1)
  const recurrentWeights = new Linear(1, 1, { bias: false })
  const [first, second] = noGrad(() => {
    const after0 = inputWeights.forward(rows.narrow(1, 0, 1)).tanh()
    const after1 = recurrentWeights.forward(after0).add(inputWeights.forward(rows.narrow(1, 1, 1))).tanh() // prettier-ignore
    return [after0, after1]
  })
  const texts = [await text(rows), await text(first), await text(second)]
  for (const [i, name] of ["inputs", "after the first", "after the second"].entries()) {
    session.print(`   ${name}:`)
    session.print(indented(texts[i]))
  }
  const wanted = expected["002"].neuron
  const same = [wanted.rows, wanted.first, wanted.second].filter((figure, i) =>
    sameFigure(texts[i], figure, session.exact),
  ).length
  if (!session.hasReference) return { result: "shown above", expected: noReference, ok: null }
  return { result: `${same} of 3 tensors as printed`, expected: "PyTorch's 3 tensors", ok: same === 3 }
}

/** The order of the sections is the notebook's order of draws: each continues the stream where the last one left it. */
export async function seed002(session: Session): Promise<void> {
  manualSeed(session.seed)
  const data = ramps(1000)
  await session.section("one neuron, two steps", () => oneNeuron(session, data.inputs.slice(0, 0, 5)))

  const ramp = new SteppedRNN(1, 5, 1)
  const test = ramps(200)
  await session.section("scaled ramp, by hand", () => {
    const plan = {
      name: "scaled ramp",
      model: ramp,
      data,
      test,
      epochs: 500,
      run: session.epochsOf(500),
      reference: reference.ramp,
    }
    return study(session, plan, "ramp.svg")
  })

  const tracks = splitAt(trajectories(1200), 1000)
  const byHand = new SteppedRNN(2, 10, 2)
  const byLayer = new LastStateRNN(2, 10, 2)
  await session.section("2-D trajectories, by hand", () => {
    const plan = { name: "trajectories by hand", model: byHand, ...tracks, epochs: 1000, run: session.epochsOf(1000), reference: reference.trajectoriesByHand } // prettier-ignore
    return study(session, plan, "trajectories-by-hand.svg")
  })
  await session.section("2-D trajectories, RNN layer", () => {
    const plan = { name: "trajectories by RNN", model: byLayer, ...tracks, epochs: 1000, run: session.epochsOf(1000), reference: reference.trajectoriesByLayer } // prettier-ignore
    return study(session, plan, "trajectories-by-layer.svg")
  })

  for (const [key, position, neurons, epochs] of [
    ["addingNear", -5, 100, 100],
    ["addingFar", 0, 10, 1000],
  ] as const) {
    const samples = splitAt(adding(1200, { positions: [position, -1] }), 1000)
    const model = new LastStateRNN(1, neurons, 1)
    const run = session.epochsOf(epochs, shortened[key])
    await session.section(`adding [${position}] + [-1], length 100`, () => {
      if (run < epochs) session.print(`   Shortened on ${session.device.name}: ${run} of ${epochs} epochs; --full runs all.`) // prettier-ignore
      const plan = { name: `adding [${position}] + [-1]`, model, ...samples, epochs, run, reference: reference[key] }
      return study(session, plan, `adding${position}.svg`)
    })
  }
}
