// The list of checks, in the order in which they run: what a backend must do alone first, then what core makes of it.
import { fail } from "../compare.js"
import type { Check } from "../suite.js"
import { backward } from "./backward.js"
import { dtypesCheck } from "./dtypes.js"
import { leaksCheck } from "./leaks.js"
import { randomCheck } from "./random.js"
import { errorsCheck } from "./errors.js"
import { forward } from "./forward.js"
import { firstOrder, secondOrder } from "./gradients.js"
import { capturedCheck } from "./captured.js"
import { goldensCheck } from "./goldens.js"
import { kernelsCheck } from "./kernels/index.js"
import { layersCheck } from "./layers.js"
import { layoutsCheck } from "./layouts.js"
import { modulesCheck } from "./modules.js"
import { purity } from "./purity.js"
import { recurrentCheck } from "./recurrent.js"

/** Every check of the suite. */
export const checks = (): readonly Check[] => [
  kernelsCheck,
  forward,
  backward,
  firstOrder,
  secondOrder,
  layoutsCheck,
  dtypesCheck,
  purity,
  errorsCheck,
  leaksCheck,
  randomCheck,
  modulesCheck,
  recurrentCheck,
  capturedCheck,
  layersCheck,
  goldensCheck,
]

/** The checks that are named, or all. Throws a ConformanceError for a name that no check has. */
export function pickChecks(only?: readonly string[]): readonly Check[] {
  const known = checks()
  if (!only) return known
  const unknown = only.find((name) => !known.some((check) => check.name === name))
  if (unknown)
    fail(`only: unknown check: got ${unknown}, expected one of ${known.map((check) => check.name).join(", ")}`)
  return known.filter((check) => only.includes(check.name))
}
