// The list of checks, in the order in which they run: what a backend must do alone first, then what core makes of it.
import type { Check } from "../suite.js"
import { backward } from "./backward.js"
import { dtypesCheck } from "./dtypes.js"
import { leaksCheck } from "./leaks.js"
import { randomCheck } from "./random.js"
import { errorsCheck } from "./errors.js"
import { forward } from "./forward.js"
import { firstOrder, secondOrder } from "./gradients.js"
import { goldensCheck } from "./goldens.js"
import { kernelsCheck } from "./kernels/index.js"
import { layersCheck } from "./layers.js"
import { layoutsCheck } from "./layouts.js"
import { modulesCheck } from "./modules.js"
import { purity } from "./purity.js"

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
  layersCheck,
  goldensCheck,
]
