// Notebooks 000 and 001: a recurrent layer beside the same computation written out step by step.
import { manualSeed, matmul, RNN, tensor, type Tensor, zeros } from "rondo"
import { shapes, steps } from "./figures.js"
import type { Outcome, Session } from "./session.js"
import { numpyText } from "./text.js"

/** The layer of both notebooks, drawn right after the seed is set. */
export function makeLayer(session: Session): RNN {
  manualSeed(session.seed)
  return new RNN(5, 2, { numLayers: 1, batchFirst: true })
}

/** Three steps of five equal features: `[3, 5]`. */
export const makeSequence = (): Tensor => tensor([1, 2, 3].map((value) => Array<number>(5).fill(value)))

/** One step by the formula: what the input contributes, and the state that follows from it and the last state. */
function step(layer: RNN, x: Tensor, last: Tensor): { hidden: Tensor; output: Tensor } {
  const hidden = matmul(x, layer.weight_ih_l0.t()).add(layer.bias_ih_l0)
  const output = hidden.add(matmul(last, layer.weight_hh_l0.t())).add(layer.bias_hh_l0).tanh()
  return { hidden, output }
}

function printShapes(session: Session, layer: RNN): number {
  let wrong = 0
  for (const [label, name, wanted] of shapes) {
    const shape = `[${layer[name as `weight_${string}`].shape.join(", ")}]`
    if (shape !== wanted) wrong++
    session.print(`   ${label} shape: ${shape.padEnd(8)} notebook: ${wanted}`)
  }
  return wrong
}

/** Prints a text beside the notebook's; gives whether they are the same. */
function beside(session: Session, label: string, text: string, wanted: string): boolean {
  const reference = session.hasReference ? `notebook: ${wanted}` : ""
  session.print(`   ${label.padEnd(17)}: ${text.padEnd(29)}${reference}`.trimEnd())
  return text === wanted
}

/** Runs the layer and the steps, and compares every printed array to its last digit. */
export async function layerBesideSteps(session: Session): Promise<Outcome> {
  const layer = makeLayer(session)
  const sequence = makeSequence()
  const wrongShapes = printShapes(session, layer)
  const [output] = layer.forward(sequence.reshape(1, 3, 5))
  let last = zeros(1, 2)
  let [same, agree] = [0, 0]
  for (let t = 0; t < 3; t++) {
    const x = sequence.select(0, t).reshape(1, 5)
    const { hidden, output: manual } = step(layer, x, last)
    last = manual
    const layers = await numpyText(output.select(1, t))
    const byHand = await numpyText(manual)
    session.print(`   Time step ${t}`)
    session.print(`   Input            : ${await numpyText(x)}`)
    const figures = [
      beside(session, "Hidden", await numpyText(hidden), steps[t].hidden),
      beside(session, "Output by hand", byHand, steps[t].output),
      beside(session, "Output of layer", layers, steps[t].output),
    ]
    same += figures.filter(Boolean).length
    if (layers === byHand) agree++
  }
  if (!session.hasReference) {
    return { result: `layer = steps at ${agree} of 3`, expected: "3 of 3", ok: agree === 3 && wrongShapes === 0 }
  }
  const result = `${same} of 9 arrays to the last digit`
  return { result, expected: "9 of 9", ok: same === 9 && agree === 3 && wrongShapes === 0 }
}

