// Notebook 003: a classifier's five epochs, and the gradient that shrinks on its way back, measured at every step.
import { Adam, grad, manualSeed, mseLoss, randn, tensor, type Tensor } from "rondo"
import { classifierLosses, expected, shrinking } from "./figures.js"
import { LastOutputRNN } from "./models.js"
import { noReference, type Outcome, type Session } from "./session.js"
import { columns } from "./text.js"

/** Two sequences of five vectors, one label each; the data are drawn before the model. */
async function classifier(session: Session): Promise<Outcome> {
  manualSeed(session.seed)
  const data = randn(2, 5, 10)
  const labels = tensor([1, 0]).unsqueeze(1)
  const model = new LastOutputRNN(10, 20, 1)
  const optimizer = new Adam(model.parameters(), { lr: 0.001 })
  const losses: number[] = []
  for (let epoch = 0; epoch < 5; epoch++) {
    optimizer.zeroGrad()
    const loss = mseLoss(model.forward(data), labels)
    loss.backward()
    optimizer.step()
    losses.push(await loss.item())
  }
  const texts = losses.map((loss) => loss.toFixed(4))
  const torch = session.hasReference ? expected["003"].losses : texts.map(() => "-")
  const heading = ["epoch", "loss", "PyTorch, same seed", "notebook, its seed unknown"]
  session.print(columns([heading, ...texts.map((loss, i) => [`${i + 1} of 5`, loss, torch[i], classifierLosses[i]])]))
  const falling = losses.every((loss, i) => i === 0 || loss < losses[i - 1])
  session.print(`   Falls at every epoch, as the notebook's: ${falling ? "yes" : "no"}`)
  const same = texts.filter((loss, i) => loss === torch[i]).length
  const result = `${texts[0]} ... ${texts[4]}`
  if (!session.hasReference) return { result, expected: `falling; ${noReference}`, ok: falling }
  return { result, expected: `${torch[0]} ... ${torch[4]}, 4 digits`, ok: same === 5 && falling }
}

/** One linear neuron with the recurrent weight 0.5: the gradient at the last step is 1; what arrives at the others? */
async function shrinkingGradient(session: Session): Promise<Outcome> {
  const weight = tensor([[0.5]])
  const states: Tensor[] = [tensor([[1]], { requiresGrad: true })]
  for (let t = 2; t <= 5; t++) states.push(states[t - 2].matmul(weight))
  const gradients = grad(states[4].sum(), states) as Tensor[]
  const measured = await Promise.all(gradients.reverse().map((g) => g.item()))
  const rows = measured.map((g, i) => [`t = ${5 - i}`, String(g), String(shrinking[i])])
  session.print(columns([["step", "gradient", "notebook"], ...rows]))
  const ok = measured.every((g, i) => g === shrinking[i])
  return { result: measured.slice(1).join(", "), expected: shrinking.slice(1).join(", "), ok }
}

export async function seed003(session: Session): Promise<void> {
  await session.section("classifier, five epochs", () => classifier(session))
  await session.section("shrinking gradient", () => shrinkingGradient(session))
}
