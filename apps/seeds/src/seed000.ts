// Notebook 000: one recurrent layer, and the same numbers by its formula.
import type { Session } from "./session.js"
import { layerBesideSteps } from "./steps.js"

export async function seed000(session: Session): Promise<void> {
  await session.section("layer and step-by-step computation", () => layerBesideSteps(session))
}
