// The two other kinds of recurrence of notebook 001, as modules and by hand: what comes back is not the state but the output.
import { init, linear, manualSeed, Module, noGrad, Parameter, stack, type Tensor, zeros } from "rondo"
import { empty } from "rondo"
import { expected } from "./figures.js"
import { noReference, type Outcome, type Session } from "./session.js"
import { makeSequence } from "./steps.js"
import { indented, numpyText, relativeDifference, tiny } from "./text.js"

/** Sizes of {@link OutputToHiddenRNN} and {@link OutputToOutputRNN}. */
export interface RecurrenceSizes {
  readonly input: number
  readonly hidden: number
  readonly output: number
}

/** What both share: weights, drawn like those of a plain layer, and the loop over time. */
abstract class OutputRecurrence extends Module {
  /** `[hidden, input]` */
  weight_ih: Parameter
  /** What comes back: `[hidden, output]`, or `[output, output]`. */
  weight_back: Parameter
  /** `[output, hidden]` */
  weight_ho: Parameter
  /** `[hidden]` */
  bias_h: Parameter
  /** `[output]` */
  bias_o: Parameter
  readonly outputSize: number

  constructor({ input, hidden, output }: RecurrenceSizes, backTo: number) {
    super()
    const bound = 1 / Math.sqrt(hidden)
    const drawn = (...shape: number[]) => init.uniform_(new Parameter(empty(shape)), -bound, bound)
    this.outputSize = output
    this.weight_ih = drawn(hidden, input)
    this.weight_back = drawn(backTo, output)
    this.weight_ho = drawn(output, hidden)
    this.bias_h = drawn(hidden)
    this.bias_o = drawn(output)
  }

  /** One step: the state and output that follow from input x `[B, input]` and the last output `[B, output]`. */
  abstract step(x: Tensor, last: Tensor): [hidden: Tensor, output: Tensor]

  /** x `[B, T, input]`, first output `[B, output]` or zeros; gives all states `[B, T, hidden]` and outputs `[B, T, output]`. */
  forward(x: Tensor, first: Tensor | null = null): [hidden: Tensor, output: Tensor] {
    const states: Tensor[] = []
    const outputs: Tensor[] = []
    let last = first ?? zeros(x.shape[0], this.outputSize, { dtype: x.dtype, device: x.device })
    for (let t = 0; t < x.shape[1]; t++) {
      const [h, o] = this.step(x.select(1, t), last)
      states.push(h)
      outputs.push(o)
      last = o
    }
    return [stack(states, 1), stack(outputs, 1)]
  }
}

/** The last output feeds the next state (Jordan 1986): h = tanh(W_ih x + W_back o' + b_h), o = tanh(W_ho h + b_o). */
export class OutputToHiddenRNN extends OutputRecurrence {
  constructor(sizes: RecurrenceSizes) {
    super(sizes, sizes.hidden)
  }
  step(x: Tensor, last: Tensor): [Tensor, Tensor] {
    const h = linear(x, this.weight_ih, this.bias_h).add(linear(last, this.weight_back)).tanh()
    return [h, linear(h, this.weight_ho, this.bias_o).tanh()]
  }
}

/** The last output feeds the next output; states see only their input: o = tanh(W_ho h + W_back o' + b_o). */
export class OutputToOutputRNN extends OutputRecurrence {
  constructor(sizes: RecurrenceSizes) {
    super(sizes, sizes.output)
  }
  step(x: Tensor, last: Tensor): [Tensor, Tensor] {
    const h = linear(x, this.weight_ih, this.bias_h).tanh()
    return [h, linear(h, this.weight_ho, this.bias_o).add(linear(last, this.weight_back)).tanh()]
  }
}

type Kind = "outputToHidden" | "outputToOutput"
interface Steps {
  readonly hidden: readonly (readonly number[])[]
  readonly output: readonly (readonly number[])[]
}

/** The same steps in plain numbers: no tensor, no module, only the formulas above. */
async function byHand(kind: Kind, model: OutputRecurrence, x: Tensor): Promise<Steps> {
  const matrix = async (p: Tensor) => (await p.tolist()) as number[][]
  const [ih, back, ho, xs] = await Promise.all([model.weight_ih, model.weight_back, model.weight_ho, x].map(matrix))
  const [bh, bo] = (await Promise.all([model.bias_h.tolist(), model.bias_o.tolist()])) as number[][]
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

/** Runs one kind by hand and as a module on the notebook's sequence, and compares both with PyTorch. */
export async function otherRecurrence(session: Session, kind: Kind): Promise<Outcome> {
  manualSeed(session.seed)
  const Model = kind === "outputToHidden" ? OutputToHiddenRNN : OutputToOutputRNN
  const model = new Model({ input: 5, hidden: 2, output: 1 })
  const x = makeSequence()
  const [states, outputs] = noGrad(() => model.forward(x.unsqueeze(0)))
  const hand = await byHand(kind, model, x)
  session.print("   states, by the module:")
  session.print(indented(await numpyText(states.select(0, 0))))
  session.print("   outputs, by the module and by hand:")
  session.print(indented(await numpyText(outputs.select(0, 0).squeeze(1))))
  session.print(`   [${hand.output.map(([o]) => o.toFixed(8)).join("  ")}]`)
  const values = [...((await states.data()) as Float32Array), ...((await outputs.data()) as Float32Array)]
  const list = (steps: Steps) => [...steps.hidden.flat(), ...steps.output.flat()]
  const fromHand = relativeDifference(list(hand), values)
  const fromTorch = session.hasReference ? relativeDifference(values, list(expected["001"][kind])) : 0
  session.print(`   module and hand differ by ${tiny(fromHand)}${session.hasReference ? `, module and PyTorch by ${tiny(fromTorch)}` : ""}`) // prettier-ignore
  const expectation = session.hasReference ? "hand's and PyTorch's, 1e-6" : `hand's, 1e-6; ${noReference}`
  return {
    result: `largest difference ${tiny(Math.max(fromHand, fromTorch))}`,
    expected: expectation,
    ok: fromHand < 1e-6 && fromTorch < 1e-6,
  }
}
