// Notebook 001: the layer again, its gradient through time by the formula, two other recurrences, and what long products do.
import { jacobianProducts } from "./flow.js"
import { gradientFormula } from "./jacobians.js"
import { otherRecurrence } from "./recurrence.js"
import type { Session } from "./session.js"
import { layerBesideSteps } from "./steps.js"
import { taming } from "./taming.js"

export async function seed001(session: Session): Promise<void> {
  await session.section("layer and step-by-step computation", () => layerBesideSteps(session))
  await session.section("gradient of W_hh from the Jacobians", () => gradientFormula(session))
  await session.section("output-to-hidden recurrence", () => otherRecurrence(session, "outputToHidden"))
  await session.section("output-to-output recurrence", () => otherRecurrence(session, "outputToOutput"))
  await session.section("vanishing and exploding product", () => jacobianProducts(session))
  await session.section("clipping and truncation", () => taming(session))
}
