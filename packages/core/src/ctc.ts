// Connectionist temporal classification (Graves et al. 2006): the likelihood of a labelling over all its alignments, by the
// forward and backward recursions in logarithms. Composed of kernels alone; checks of what users pass are the loss's.
import { type DType, e, type Expr, GradientError } from "@rondo/backend"
import { apply } from "./apply.js"
import { full, zeros } from "./creation.js"
import type { Device } from "./device.js"
import { type FusedExprs, mapInto } from "./fused.js"
import type { Rule } from "./graph.js"
import { encode, upload } from "./host.js"
import { cat, exp, gather, isinf, logsumexp, ne, neg, pad, stack, sub, toDType, where } from "./ops/index.js"
import { scope } from "./scope.js"
import type { Tensor } from "./tensor.js"

/** One batch: lengths are known on the host, everything else stays on the device. */
export interface CtcBatch {
  /** Log-probabilities `[T, B, C]`. */
  readonly logProbs: Tensor
  /** Labels `[B, L]`, int32 or int64; what lies beyond a row's length is not read. */
  readonly targets: Tensor
  /** How many steps of each row count, 0 to T. */
  readonly inputLengths: readonly number[]
  /** How many labels each row has, 0 to L. */
  readonly targetLengths: readonly number[]
  /** The class that stands for no label. */
  readonly blank: number
  /** Rows without any alignment cost 0 and have no gradient, instead of infinity and NaN. */
  readonly zeroInfinity: boolean
}

/** What both recursions read. S = 2 L + 1 states: a blank, a label, a blank, ... */
interface Lattice {
  /** Class of each state, `[B, S]`. */
  readonly classes: Tensor
  /** 0 where a state may be reached from the label before, past the blank between; else -Infinity. `[B, S]` */
  readonly skips: Tensor
  /** 0 at the states in which a row may end, else -Infinity. `[B, S]` */
  readonly ends: Tensor
  /** Log-probabilities of the states, `[T, B, S]`. */
  readonly emissions: Tensor
}

const table = (device: Device, values: number[], shape: readonly number[], dtype: DType): Tensor =>
  upload(device, encode(values, dtype), shape, dtype)

/** Values of a function of row and column, as a tensor. */
function grid(x: Tensor, rows: number, columns: number, dtype: DType, f: (row: number, column: number) => number) {
  const values = Array.from({ length: rows * columns }, (_, i) => f(Math.floor(i / columns), i % columns))
  return table(x.device, values, [rows, columns], dtype)
}

function latticeOf({ logProbs, targets, targetLengths, blank }: CtcBatch): Lattice {
  const [steps, batch] = logProbs.shape
  const labels = targets.shape[1]
  const states = 2 * labels + 1
  const real = grid(logProbs, batch, labels, "bool", (b, l) => Number(l < targetLengths[b]))
  const named = where(real, toDType(targets, "int32"), blank)
  const blanks = full([batch, labels], blank, { device: logProbs.device, dtype: "int32" })
  const last = full([batch, 1], blank, { device: logProbs.device, dtype: "int32" })
  const classes = cat([stack([blanks, named], 2).reshape(batch, 2 * labels), last], 1)
  const { dtype } = logProbs
  const ends = grid(logProbs, batch, states, dtype, (b, s) =>
    s === 2 * targetLengths[b] || (s === 2 * targetLengths[b] - 1 && s > 0) ? 0 : -Infinity,
  )
  const reach = Math.max(0, states - 2)
  const differ = ne(classes.narrow(1, states - reach, reach), classes.narrow(1, 0, reach))
  const skips = pad(toDType(where(differ, 0, -Infinity), dtype), [states - reach, 0], "constant", -Infinity)
  return { classes, skips, ends, emissions: gather(logProbs, 2, classes.expand(steps, batch, states)) }
}

/** log of a sum of exponentials, -Infinity if all are. */
function logOfSum(...terms: Expr[]): Expr {
  const top = terms.reduce((a, b) => e.max(a, b))
  const shift = e.where(e.eq(top, e.like(top, -Infinity)), e.like(top, 0), top)
  return e.add(shift, e.log(terms.map((x) => e.exp(e.sub(x, shift))).reduce((a, b) => e.add(a, b))))
}

const firstStep: FusedExprs = ([start, emission]) => [e.add(start, emission)]
const forwardStep: FusedExprs = ([stay, next, jump, skip, emission]) => [
  e.add(logOfSum(stay, next, e.add(jump, skip)), emission),
]
// The second value is the probability that an alignment passes the state: exp(alpha + beta - emission - log likelihood).
const backwardStep: FusedExprs = ([stay, next, jump, skip, start, end, emission, alpha, nll]) => {
  const beta = e.add(logOfSum(stay, next, e.add(jump, skip), e.add(start, end)), emission)
  const both = e.add(alpha, beta)
  const passed = e.exp(e.add(e.sub(both, emission), nll))
  return [beta, e.where(e.eq(both, e.like(both, -Infinity)), e.like(both, 0), passed)]
}

/** Log-probabilities `[B, S]` of all beginnings that end in each state, step by step. */
function beginnings({ skips, emissions }: Lattice): Tensor[] {
  const [steps, batch, states] = emissions.shape
  const { device, dtype } = emissions
  const start = table(device, Array.from({ length: states }, (_, s) => (s < 2 ? 0 : -Infinity)), [1, states], dtype) // prettier-ignore
  const found: Tensor[] = []
  // Two states of probability 0 stand before the first, so that every state has predecessors.
  let before: Tensor | null = null
  for (let t = 0; t < steps; t++) {
    const wide = full([batch, states + 2], -Infinity, { device, dtype })
    const now = wide.narrow(1, 2, states)
    const emission = emissions.select(0, t)
    if (before) {
      const [jump, next, stay] = [0, 1, 2].map((k) => (before as Tensor).narrow(1, k, states))
      mapInto("ctc", [now], [stay, next, jump, skips, emission], forwardStep)
    } else mapInto("ctc", [now], [start, emission], firstStep)
    found.push(now)
    before = wide
  }
  return found
}

/** How probable it is that an alignment passes each state: `[T, B, S]`. */
function passing({ skips, ends, emissions }: Lattice, alphas: readonly Tensor[], nll: Tensor, lengths: readonly number[]): Tensor {
  const [steps, batch, states] = emissions.shape
  const { device, dtype } = emissions
  const starts = grid(emissions, steps, batch, dtype, (t, b) => (t === lengths[b] - 1 ? 0 : -Infinity))
  const jumps = pad(skips, [-Math.min(2, states), Math.min(2, states)], "constant", -Infinity)
  const passed = zeros([steps, batch, states], { device, dtype })
  let after = full([batch, states + 2], -Infinity, { device, dtype })
  for (let t = steps - 1; t >= 0; t--) {
    const wide = full([batch, states + 2], -Infinity, { device, dtype })
    const [stay, next, jump] = [0, 1, 2].map((k) => after.narrow(1, k, states))
    const from = starts.select(0, t).unsqueeze(1)
    const inputs = [stay, next, jump, jumps, from, ends, emissions.select(0, t), alphas[t], nll.unsqueeze(1)]
    mapInto("ctc", [wide.narrow(1, 0, states), passed.select(0, t)], inputs, backwardStep)
    after = wide
  } // prettier-ignore
  return passed
} // prettier-ignore

interface Found {
  readonly nll: Tensor
  readonly lattice: Lattice
  readonly alphas: Tensor[]
}

function likelihoods(batch: CtcBatch): Found {
  const lattice = latticeOf(batch)
  const alphas = beginnings(lattice)
  const { inputLengths, targetLengths, logProbs } = batch
  const { device, dtype } = logProbs
  const rows = inputLengths.length
  const lasts = inputLengths.map((length) => Math.max(0, length - 1))
  // Rows end at few different steps: most often at one.
  let ended = alphas[lasts[0] ?? 0]
  for (const t of new Set(lasts)) {
    if (t === lasts[0]) continue
    const here = table(device, lasts.map((last) => Number(last === t)), [rows, 1], "bool") // prettier-ignore
    ended = where(here, alphas[t], ended)
  }
  const nll = neg(logsumexp(ended.add(lattice.ends), 1))
  if (inputLengths.every((length) => length > 0)) return { nll, lattice, alphas }
  // Nothing is said in no time with certainty, and something never.
  const certain = table(device, targetLengths.map((length) => (length === 0 ? 0 : Infinity)), [rows], dtype) // prettier-ignore
  const some = table(device, inputLengths.map(Number), [rows], "bool")
  return { nll: where(some, nll, certain), lattice, alphas }
}

// As PyTorch's: that of the logits before logSoftmax, which leaves it unchanged: exp(logProbs) less the probability of the
// class at that step among the alignments.
function gradient(g: Tensor, logProbs: Tensor, { nll, lattice, alphas }: Found, lengths: readonly number[], zero: boolean): Tensor {
  const { shape } = logProbs
  const once: Rule = () => {
    throw new GradientError("ctc: has no second derivative; call backward without createGraph")
  }
  const [out] = apply({ name: "ctcBackward", keep: [], vjp: once }, [g, logProbs], (device) => {
    const result = scope(() => {
      const passed = passing(lattice, alphas, nll, lengths)
      const index = lattice.classes.expand(passed.shape)
      const classes = zeros(shape, { device, dtype: logProbs.dtype }).scatterAdd_(2, index, passed)
      const counted = grid(logProbs, shape[0], shape[1], "bool", (t, b) => Number(t < lengths[b])).unsqueeze(2)
      const slope = sub(exp(logProbs), classes).mul(g.unsqueeze(1))
      return where(counted, where(isinf(nll).unsqueeze(1), zero ? 0 : NaN, slope), 0)
    })
    return [toDType(result, logProbs.dtype)]
  })
  return out
} // prettier-ignore

function ruleOf(found: () => Found, lengths: readonly number[], zeroInfinity: boolean): Rule {
  return ([g], s) => [g && gradient(g, s.x, found(), lengths, zeroInfinity)]
}

/** Frees what only a gradient would have read. */
function release(found: Found | null): void {
  if (!found) return
  for (const x of [found.nll, ...Object.values(found.lattice as unknown as Record<string, Tensor>), ...found.alphas]) x.dispose() // prettier-ignore
}

/**
 * Negative log-likelihoods `[B]` of the targets, summed over all alignments. Gradients are PyTorch's: right for
 * log-probabilities that come from logSoftmax, and of first order only.
 */
export function ctc(batch: CtcBatch): Tensor {
  let kept: Found | null = null
  const rule = ruleOf(() => kept as Found, batch.inputLengths, batch.zeroInfinity)
  const [out] = apply({ name: "ctc", keep: ["x"], vjp: rule }, [batch.logProbs], () => {
    kept = scope(() => likelihoods(batch))
    const { nll } = kept
    return [batch.zeroInfinity ? where(isinf(nll), 0, nll) : nll.clone()]
  })
  if (!out.requiresGrad) release(kept)
  return out
}
