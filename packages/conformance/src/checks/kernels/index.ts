// Check: each kernel kind, straight through the backend, against loops in plain JavaScript. Core's operations take no part.
import type { Check } from "../../suite.js"
import { indexingCases } from "./indexing.js"
import { mapCases } from "./map.js"
import { matmulCases } from "./matmul.js"
import { orderingCases } from "./ordering.js"
import { recurrentCases } from "./recurrent.js"
import { reduceCases } from "./reduce.js"

export const kernelsCheck: Check = {
  name: "kernels",
  about:
    "Every kernel in every dtype and layout gives what naive float64 loops give, and writes nothing beside its outputs.",
  cases: (context) => [
    ...mapCases(context),
    ...reduceCases(context),
    ...matmulCases(context),
    ...indexingCases(context),
    ...orderingCases(context),
    ...recurrentCases(context),
  ],
}
