// The loss of sequences whose labels are not aligned with their steps: what users pass, checked and laid out for core's ctc.
import { DTypeError, IndexError, isFloat, shapeText, ShapeError, ValueError } from "@rondo/backend"
import { checkOptions, ctc, encode, type OptionChecks, Tensor, upload, zeros } from "@rondo/core"
import { lossChecks, type LossOptions, reduced } from "./functional.js"
import { needTensor } from "./linear.js"
import { Loss } from "./loss.js"

/** Options of {@link ctcLoss}. */
export interface CTCOptions extends LossOptions {
  /** The class that stands for no label. Default 0. */
  readonly blank?: number
  /** Rows too short for their target cost 0 and have no gradient, instead of infinity. Default false. */
  readonly zeroInfinity?: boolean
}

const ctcChecks: OptionChecks<CTCOptions> = { blank: "integer", zeroInfinity: "flag", ...lossChecks }

/** Lengths of a batch: numbers, or an integer tensor, which is read at once. One number where there is no batch. */
export type CTCLengths = number | readonly number[] | Tensor

function readLengths(what: string, lengths: CTCLengths, count: number, most: number): number[] {
  const several = typeof lengths === "object" && lengths !== null
  if (typeof lengths !== "number" && !(several && (lengths instanceof Tensor || Symbol.iterator in lengths)))
    throw new ValueError(`ctcLoss: ${what} must be numbers or a tensor: got ${typeof lengths}`)
  const list =
    typeof lengths === "number"
      ? [lengths]
      : lengths instanceof Tensor
        ? Array.from(lengths.dataSync() as ArrayLike<number | bigint>, Number)
        : [...lengths]
  if (list.length !== count) throw new ShapeError(`ctcLoss: got ${list.length} ${what}, expected ${count}, one for each row`) // prettier-ignore
  for (const length of list) {
    if (!Number.isInteger(length) || length < 0 || length > most) {
      throw new IndexError(`ctcLoss: ${what} out of range: got ${length}, expected 0 to ${most}`)
    }
  }
  return list
}

/** Labels that stand one row after the other, as `[B, L]`; the rest of the rows is not read. */
function separated(targets: Tensor, lengths: readonly number[]): Tensor {
  const total = lengths.reduce((sum, length) => sum + length, 0)
  if (targets.shape[0] !== total) {
    throw new ShapeError(`ctcLoss: got joined targets ${shapeText(targets.shape)}, expected [${total}], the sum of the target lengths`) // prettier-ignore
  }
  const most = Math.max(0, ...lengths)
  if (most === 0) return zeros([lengths.length, 0], { dtype: "int32", device: targets.device })
  let from = 0
  const places = lengths.flatMap((length) => {
    const start = from
    from += length
    return Array.from({ length: most }, (_, l) => (l < length ? start + l : 0))
  })
  const index = upload(targets.device, encode(places, "int32"), [places.length], "int32")
  return targets.indexSelect(0, index).reshape(lengths.length, most)
}

/**
 * Negative log-likelihood of label sequences that are shorter than their inputs, summed over all alignments (Graves et al.
 * 2006), as `torch.nn.functional.ctc_loss`. `mean` divides each row by its target's length (at least 1) first.
 *
 * Gradients are PyTorch's: those of the logits before logSoftmax, of first order only.
 *
 * Throws a ShapeError or DTypeError if the operands do not fit, an IndexError for a blank or lengths out of range.
 *
 * @param logProbs - `[T, B, C]`, or unbatched `[T, C]`; from logSoftmax.
 * @param targets - int32 or int64, without the blank: `[B, L]` (padded), or all labels joined `[sum of lengths]`.
 * @param inputLengths - How many steps of each row count.
 * @param targetLengths - How many labels each row has.
 * @example
 * ```ts
 * const logProbs = logSoftmax(randn(10, 2, 5), 2)
 * const targets = tensor([[1, 2, 2], [3, 4, 0]], { dtype: "int32" })
 * const loss = ctcLoss(logProbs, targets, [10, 8], [3, 2])
 * ```
 */
export function ctcLoss(
  logProbs: Tensor,
  targets: Tensor,
  inputLengths: CTCLengths,
  targetLengths: CTCLengths,
  options?: CTCOptions,
): Tensor {
  const { blank = 0, reduction = "mean", zeroInfinity = false } = checkOptions("ctcLoss", ctcChecks, options)
  checkOperands(logProbs, targets)
  const wide = logProbs.ndim === 3 ? logProbs : logProbs.unsqueeze(1)
  const [steps, batch, classes] = wide.shape
  if (!Number.isInteger(blank) || blank < 0 || blank >= classes) {
    throw new IndexError(`ctcLoss: blank out of range: got ${blank}, expected 0 to ${classes - 1}`)
  }
  const inputs = readLengths("inputLengths", inputLengths, batch, steps)
  const labels = readLengths("targetLengths", targetLengths, batch, targets.ndim === 2 ? targets.shape[1] : targets.shape[0] || 0) // prettier-ignore
  if (targets.ndim === 2 && targets.shape[0] !== batch) {
    throw new ShapeError(`ctcLoss: got targets ${shapeText(targets.shape)}, expected [${batch}, L] for ${shapeText(logProbs.shape)}`) // prettier-ignore
  }
  const most = Math.max(0, ...labels)
  const rows = targets.ndim === 2 ? targets.narrow(1, 0, most) : separated(targets, labels)
  const all = { logProbs: wide, targets: rows, inputLengths: inputs, targetLengths: labels, blank, zeroInfinity }
  const losses = ctc(all)
  if (reduction === "mean") {
    const counts = labels.map((length) => Math.max(1, length))
    return losses.div(upload(losses.device, encode(counts, losses.dtype), [batch], losses.dtype)).mean()
  }
  return reduced(logProbs.ndim === 2 ? losses.squeeze(0) : losses, reduction)
}

function checkOperands(logProbs: Tensor, targets: Tensor): void {
  for (const operand of [logProbs, targets]) needTensor("ctcLoss", operand)
  if ((logProbs.ndim !== 2 && logProbs.ndim !== 3) || logProbs.shape[0] === 0) {
    throw new ShapeError(`ctcLoss: got logProbs ${shapeText(logProbs.shape)}, expected [T, B, C] or [T, C] with at least one step`) // prettier-ignore
  }
  if (!isFloat(logProbs.dtype)) throw new DTypeError(`ctcLoss: logProbs must be floats: got ${logProbs.dtype}`)
  if (targets.dtype !== "int32" && targets.dtype !== "int64") {
    throw new DTypeError(`ctcLoss: targets must be int32 or int64: got ${targets.dtype}`)
  }
  if (targets.ndim !== 1 && !(targets.ndim === 2 && logProbs.ndim === 3)) {
    throw new ShapeError(`ctcLoss: got targets ${shapeText(targets.shape)}, expected [B, L] or all labels joined`)
  }
}

/**
 * {@link ctcLoss} as a module.
 *
 * @example
 * ```ts
 * const criterion = new CTCLoss({ zeroInfinity: true })
 * const targets = tensor([[1, 2], [3, 3]], { dtype: "int32" })
 * const loss = criterion.forward(logSoftmax(randn(6, 2, 4), 2), targets, [6, 6], [2, 2])
 * ```
 */
export class CTCLoss extends Loss {
  readonly blank: number
  readonly zeroInfinity: boolean
  constructor(options?: CTCOptions) {
    const { blank = 0, zeroInfinity = false, ...shared } = checkOptions("CTCLoss", ctcChecks, options)
    super(shared)
    this.blank = blank
    this.zeroInfinity = zeroInfinity
  }
  forward(logProbs: Tensor, targets: Tensor, inputLengths: CTCLengths, targetLengths: CTCLengths): Tensor {
    const { blank, zeroInfinity, reduction } = this
    return ctcLoss(logProbs, targets, inputLengths, targetLengths, { blank, zeroInfinity, reduction })
  }
}
