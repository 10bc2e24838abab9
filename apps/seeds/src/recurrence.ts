// The two other kinds of recurrence of notebook 001, by the library and by hand: what comes back is not the state but the output.
import { manualSeed, noGrad, OutputToHiddenRNN, OutputToOutputRNN, type Tensor } from "rondo"
import { expected } from "./figures.js"
import { noReference, type Outcome, type Session } from "./session.js"
import { makeSequence } from "./steps.js"
import { indented, numpyText, relativeDifference, tiny } from "./text.js"

type Kind = "outputToHidden" | "outputToOutput"
interface Steps {
  readonly hidden: readonly (readonly number[])[]
  readonly output: readonly (readonly number[])[]
}

/**
 * The steps in plain numbers, without tensors: the last output o' feeds the next state (Jordan 1986),
 * h = tanh(W_ih x + W_back o' + b_h) and o = tanh(W_ho h + b_o); or the next output, and states see only their input,
 * h = tanh(W_ih x + b_h) and o = tanh(W_ho h + W_back o' + b_o).
 */
async function byHand(kind: Kind, model: OutputToHiddenRNN | OutputToOutputRNN, x: Tensor): Promise<Steps> {
  const matrix = async (p: Tensor) => (await p.tolist()) as number[][]
  const comesBack = model instanceof OutputToHiddenRNN ? model.weight_oh : model.weight_oo
  const [ih, back, ho, xs] = await Promise.all([model.weight_ih, comesBack, model.weight_ho, x].map(matrix))
  const [bh, bo] = (await Promise.all([model.bias_h!.tolist(), model.bias_o!.tolist()])) as number[][]
  const times = (m: number[][], v: readonly number[]) => m.map((row) => row.reduce((sum, w, i) => sum + w * v[i], 0))
  const plus = (...lists: number[][]) => lists[0].map((_, i) => lists.reduce((sum, list) => sum + list[i], 0))
  const hidden: number[][] = []
  const output: number[][] = []
  let o = bo.map(() => 0)
  for (const row of xs) {
    const fromInput = plus(times(ih, row), bh)
    const h = (kind === "outputToHidden" ? plus(fromInput, times(back, o)) : fromInput).map(Math.tanh)
    const fromState = plus(times(ho, h), bo)
    o = (kind === "outputToOutput" ? plus(fromState, times(back, o)) : fromState).map(Math.tanh)
    hidden.push(h)
    output.push(o)
  }
  return { hidden, output }
}

/** Runs one kind by the library's layer and by hand on the notebook's sequence, and compares both with PyTorch. */
export async function otherRecurrence(session: Session, kind: Kind): Promise<Outcome> {
  manualSeed(session.seed)
  const Model = kind === "outputToHidden" ? OutputToHiddenRNN : OutputToOutputRNN
  const model = new Model(5, 2, 1, { outputNonlinearity: "tanh" })
  const x = makeSequence()
  const [outputs, , states] = noGrad(() => model.forward(x)) // [3, 1] and [3, 2]
  const hand = await byHand(kind, model, x)
  session.print("   states, by the layer:")
  session.print(indented(await numpyText(states)))
  session.print("   outputs, by the layer and by hand:")
  session.print(indented(await numpyText(outputs.squeeze(1))))
  session.print(`   [${hand.output.map(([o]) => o.toFixed(8)).join("  ")}]`)
  const values = [...((await states.data()) as Float32Array), ...((await outputs.data()) as Float32Array)]
  const list = (steps: Steps) => [...steps.hidden.flat(), ...steps.output.flat()]
  const fromHand = relativeDifference(list(hand), values)
  const fromTorch = session.hasReference ? relativeDifference(values, list(expected["001"][kind])) : 0
  session.print(`   layer and hand differ by ${tiny(fromHand)}${session.hasReference ? `, layer and PyTorch by ${tiny(fromTorch)}` : ""}`) // prettier-ignore
  const expectation = session.hasReference ? "hand's and PyTorch's, 1e-6" : `hand's, 1e-6; ${noReference}`
  return {
    result: `largest difference ${tiny(Math.max(fromHand, fromTorch))}`,
    expected: expectation,
    ok: fromHand < 1e-6 && fromTorch < 1e-6,
  }
}
