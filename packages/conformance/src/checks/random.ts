// Check: after `manualSeed` every device gets PyTorch's draws, bit for bit and in PyTorch's order.
import { isFloat } from "@rondo/backend"
import {
  bernoulli,
  type Device,
  dropoutMask,
  manualSeed,
  multinomial,
  ones,
  rand,
  randint,
  randn,
  randperm,
  tensor,
  type Tensor,
  zeros,
} from "@rondo/core"
import { compareHosts, fail } from "../compare.js"
import type { GoldenDraw, Goldens } from "../goldens.js"
import { read } from "../read.js"
import type { Case, Check, Context } from "../suite.js"

type Numbers = number[]

/** Draws as the file says. Filling methods start from zeros of the shape that comes first. */
function draw(device: Device, { f, args }: GoldenDraw): Tensor {
  const [first] = args
  switch (f) {
    case "rand":
      return rand(first as Numbers, { device, dtype: args[1] as "float64" | undefined })
    case "randn":
      return randn(first as Numbers, { device, dtype: args[1] as "float64" | undefined })
    case "randint":
      return randint(first as number, args[1] as number, args[2] as Numbers, { device })
    case "randperm":
      return randperm(first as number, { device })
    case "bernoulli":
      return bernoulli(tensor(first as Numbers, { device }))
    case "multinomial":
      return multinomial(tensor(first as Numbers, { device }), args[1] as number, { replacement: args[2] as boolean })
    case "dropout":
      return dropoutMask(ones(first as Numbers, { device }), args[1] as number)
    case "uniform_":
    case "normal_":
    case "exponential_":
    case "bernoulli_":
    case "random_": {
      const x = zeros(first as Numbers, { device })
      const fill = (x as unknown as Record<string, (...rest: unknown[]) => Tensor>)[f]
      return fill.apply(x, args.slice(1))
    }
    default:
      return fail(`the file draws with ${f}, which the check does not know`)
  }
}

/** Where a step is drawn: what a device cannot hold or read at once is drawn on the reference, so that the stream goes on. */
function deviceFor(context: Context, goldens: Goldens, step: GoldenDraw): Device {
  const { dtype } = goldens.tensor(step.out)
  const reads = step.f === "bernoulli" || step.f === "multinomial"
  const here = context.dtypes.includes(dtype) && (!reads || context.backend.capabilities.syncRead)
  return here ? context.device : context.reference
}

function streamCase(
  context: Context,
  goldens: Goldens,
  seed: number,
  steps: readonly GoldenDraw[],
  last: number,
): Case {
  const step = steps[last]
  const { dtype } = goldens.tensor(step.out)
  const run = async (): Promise<number> => {
    manualSeed(seed)
    const drawn = steps.slice(0, last + 1).map((one) => draw(deviceFor(context, goldens, one), one))
    return compareHosts(await read(drawn[last]), goldens.tensor(step.out), {}, { source: "PyTorch", signedZero: true })
  }
  return {
    id: `seed ${seed}, draw ${last}: ${step.f}(${JSON.stringify(step.args).slice(1, -1)})`,
    op: step.f,
    dtype: isFloat(dtype) ? dtype : "int32",
    run,
  }
}

export const randomCheck: Check = {
  name: "random",
  about: "After manualSeed, draws are PyTorch's on a CPU, bit for bit, on every device.",
  cases: (context) => {
    const { goldens } = context
    if (!goldens)
      return [
        { id: "file", op: "random", dtype: "-", run: () => fail("no golden values were given: pass options.goldens") },
      ]
    return goldens.draws.flatMap(({ seed, steps }) =>
      steps
        .map((step, i) => ({ step, i }))
        .filter(({ step }) => deviceFor(context, goldens, step) === context.device)
        .map(({ i }) => streamCase(context, goldens, seed, steps, i)),
    )
  },
}
