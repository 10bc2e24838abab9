// Notebook 004: one neuron, five neurons, the cell in a loop, the cell that carries its state, and LSTM's three steps.
import { cat, formatTensor, LSTMCell, manualSeed, noGrad, randn, RNNCell, stack, tensor, type Tensor } from "rondo"
import { expected, neuronOutputs } from "./figures.js"
import { lstmSteps } from "./lstm.js"
import { CarryingRNN, TwoStepRNN } from "./neurons.js"
import { noReference, type Outcome, type Session } from "./session.js"
import { indented, relativeDifference, sameFigure, tiny } from "./text.js"

/** Four instances at two times; the one-neuron model gets a fourth feature that is always 0. */
const instances = [
  [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 0, 1]],
  [[9, 8, 7], [0, 0, 0], [6, 5, 4], [3, 2, 1]],
] // prettier-ignore

type Figure = keyof (typeof expected)["004"]

const text = async (x: Tensor): Promise<string> => formatTensor(await x.detach().data(), x.shape, x.dtype)

/** Prints tensors as PyTorch does and counts those that are PyTorch's to the last printed digit. */
async function judge(session: Session, name: Figure, tensors: readonly Tensor[]): Promise<Outcome> {
  const wanted = Object.values(expected["004"][name])
  let same = 0
  for (const [i, x] of tensors.entries()) {
    const own = await text(x)
    const agrees = sameFigure(own, wanted[i], session.exact)
    if (agrees) same++
    session.print(indented(own))
    if (session.hasReference && !agrees) session.print(indented(`PyTorch: ${wanted[i]}`))
  }
  const sizes = `${tensors.length} of [${tensors[0].shape.join(", ")}]`
  if (!session.hasReference) return { result: sizes, expected: noReference, ok: null }
  return { result: `${same} tensors as printed`, expected: `PyTorch's ${sizes}`, ok: same === tensors.length }
}

/** Large inputs drive tanh to its limits: how many outputs print as 1.0000 or -1.0000. */
const saturated = (values: ArrayLike<number>): number => Array.from(values).filter((y) => Math.abs(y) > 0.9995).length

async function oneNeuron(session: Session): Promise<Outcome> {
  const [x0, x1] = instances.map((rows) => tensor(rows.map((row) => [...row, 0])))
  const outputs = new TwoStepRNN(4, 1).forward(x0, x1)
  const outcome = await judge(session, "single", outputs)
  const own = (await Promise.all(outputs.map((y) => y.data()))).map((y) => saturated(y as Float32Array))
  session.print(`   Saturated outputs: ${own.join(" and ")} of 4; in the notebook, from another seed: ${neuronOutputs.map(saturated).join(" and ")}`) // prettier-ignore
  return outcome
}

/** The cell in a loop, for both times. */
async function cellLoop(session: Session, x: Tensor): Promise<Outcome> {
  const cell = new RNNCell(3, 5)
  let hx: Tensor = randn(4, 5)
  const outputs: Tensor[] = []
  for (let t = 0; t < 2; t++) {
    hx = cell.forward(x.select(0, t), hx)
    outputs.push(hx)
  }
  session.print(`   made by ${outputs[1].gradFn?.name ?? "no operation"}`)
  return judge(session, "cell", outputs)
}

/** Called twice: the second call must go on where the first one ended. */
async function carrying(session: Session, x: Tensor): Promise<Outcome> {
  const model = new CarryingRNN(4, 3, 5)
  const [first, kept] = model.forward(x)
  const [second] = model.forward(x)
  const again = model.rnn.forward(x.select(0, 0), kept)
  const carried = relativeDifference((await second[0].data()) as Float32Array, (await again.data()) as Float32Array)
  const outcome = await judge(session, "clean", [...first, ...second])
  session.print(`   The second call starts from the first call's last state: difference ${tiny(carried)}`)
  return carried === 0 ? outcome : { ...outcome, result: "the state was not carried", ok: false }
}

/** Gates and states from the formulas; then the library's cell on the same numbers. */
async function lstm(session: Session, x: Tensor): Promise<Outcome> {
  const cell = new LSTMCell(3, 5)
  const [h, c] = [randn(4, 5), randn(4, 5)]
  const { gates, library } = noGrad(() => lstmSteps(cell, x, { h, c }))
  session.print(`   In order: ${Object.keys(gates).join(", ")}`)
  const outcome = await judge(session, "lstm", Object.values(gates))
  const values = async (tensors: Tensor[]) => (await cat(tensors).data()) as Float32Array
  const worst = relativeDifference(await values([gates.hidden, gates.cell]), await values([library.h, library.c]))
  session.print(`   The library's LSTMCell differs by ${tiny(worst)}`)
  return worst < 1e-6 ? outcome : { ...outcome, result: `differs from LSTMCell by ${tiny(worst)}`, ok: false }
}

export async function seed004(session: Session): Promise<void> {
  manualSeed(session.seed)
  await session.section("one neuron", () => oneNeuron(session))
  const [x0, x1] = instances.map((rows) => tensor(rows))
  const x = stack([x0, x1])
  await session.section("five neurons", () => judge(session, "basic", new TwoStepRNN(3, 5).forward(x0, x1)))
  await session.section("RNNCell in a loop", () => cellLoop(session, x))
  await session.section("cell that carries its state", () => carrying(session, x))
  await session.section("LSTM's three steps by hand", () => lstm(session, x0))
}
