// Notebooks 000 and 001: a recurrent layer beside the same computation written out step by step.
import { manualSeed, matmul, noGrad, rand, RNN, tensor, type Tensor, zeros } from "rondo"
import { shapes, steps } from "./figures.js"
import type { Outcome, Session } from "./session.js"
import { numpyText, sameFigure, tiny } from "./text.js"

/** The layer of both notebooks as the library draws it, right after the seed is set. */
function drawLayer(session: Session): RNN {
  manualSeed(session.seed)
  return new RNN(5, 2, { numLayers: 1, batchFirst: true })
}

/**
 * The same layer with the weights of the PyTorch that printed the notebooks. It rounded each draw twice, after
 * `u * (b - a)` and after `+ a`; PyTorch builds that use fused multiply-add round once, and some weights differ in the
 * last bit. (With ATEN_CPU_CAPABILITY=default any PyTorch draws as here.)
 */
export function makeLayer(session: Session): RNN {
  const layer = drawLayer(session)
  const bound = Math.fround(1 / Math.sqrt(layer.hiddenSize))
  manualSeed(session.seed)
  noGrad(() =>
    layer.parameters().forEach((p) =>
      p.copy_(
        rand(p.shape)
          .mul(2 * bound)
          .sub(bound),
      ),
    ),
  )
  return layer
}

/** Says how far the library's own draws, rounded once, are from the notebook's weights. */
async function printRounding(session: Session, layer: RNN): Promise<number> {
  const [own, notebook] = [drawLayer(session), layer].map((model) => model.parameters())
  const differences = await Promise.all(own.map((p, i) => p.detach().sub(notebook[i]).abs().max().item()))
  const most = Math.max(...differences)
  session.print(`   Weights: drawn with two roundings, the notebook's; one rounding moves them by up to ${tiny(most)}`)
  return most
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
  return sameFigure(text, wanted, session.exact)
}

/** Runs the layer and the steps, and compares every printed array to its last digit. */
export async function layerBesideSteps(session: Session): Promise<Outcome> {
  const layer = makeLayer(session)
  const sequence = makeSequence()
  const wrongShapes = printShapes(session, layer)
  const rounding = await printRounding(session, layer)
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
    if (sameFigure(layers, byHand, session.exact)) agree++
  }
  // Weights lie within 0.71 here; one unit in the last place is 6e-8.
  const sound = wrongShapes === 0 && rounding < 1e-7
  if (!session.hasReference) {
    return { result: `layer = steps at ${agree} of 3`, expected: "3 of 3", ok: agree === 3 && sound }
  }
  const result = `${same} of 9 arrays to the last ${session.exact ? "digit" : "bits of float32"}`
  return { result, expected: "9 of 9", ok: same === 9 && agree === 3 && sound }
}
