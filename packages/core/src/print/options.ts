// Options of printing: PyTorch's `torch.set_printoptions`, with the same defaults and profiles. Formatting itself is
// in tensor.ts; NumPy's text in numpy.ts does not read these options.
import { ValueError } from "@rondo/backend"

/** How tensors are printed. The defaults are PyTorch's. */
export interface PrintOptions {
  /** Digits after the point (4). */
  precision: number
  /** Above this many elements only the edges are printed (1000; `Infinity` prints everything). */
  threshold: number
  /** Elements shown at either end of a dimension when summarising (3). */
  edgeitems: number
  /** Characters a line, for breaking rows and placing suffixes (80). */
  linewidth: number
  /** `true` or `false` forces scientific notation on or off; `undefined` chooses by the values. */
  sciMode: boolean | undefined
}

/** PyTorch's named sets of options: `short` has precision 2 and 2 edge items, `full` never summarises. */
export type PrintProfile = "default" | "short" | "full"

/** Any part of the options, on top of a profile when one is named. */
export interface PrintSettings extends Partial<PrintOptions> {
  profile?: PrintProfile
}

// Values of torch/_tensor_str.py, set_printoptions. sciMode is not part of a profile there either.
const profiles: Record<PrintProfile, Omit<PrintOptions, "sciMode">> = {
  default: { precision: 4, threshold: 1000, edgeitems: 3, linewidth: 80 },
  short: { precision: 2, threshold: 1000, edgeitems: 2, linewidth: 80 },
  full: { precision: 4, threshold: Infinity, edgeitems: 3, linewidth: 80 },
}

let current: PrintOptions = { ...profiles.default, sciMode: undefined }

/**
 * Sets how tensors are printed from here on, as `torch.set_printoptions` does. Options that are left out keep their
 * value, except `sciMode`: as in PyTorch, a call that does not name it returns to the automatic choice.
 *
 * @throws ValueError for an unknown profile or option, or a value out of range; nothing changes then.
 *
 * @example
 * ```ts
 * import { getPrintOptions, setPrintOptions } from "@rondo/core"
 *
 * setPrintOptions({ precision: 2, sciMode: false })
 * console.log(getPrintOptions().precision) // 2
 * setPrintOptions({ profile: "default" })
 * ```
 */
export function setPrintOptions(settings: PrintSettings): void {
  current = { ...resolve("setPrintOptions", settings), sciMode: settings.sciMode }
}

/** A copy of the options in force. */
export function getPrintOptions(): PrintOptions {
  return { ...current }
}

/**
 * The options in force with `settings` on top: first the profile, then single options. Nothing is stored.
 *
 * @throws ValueError as {@link setPrintOptions}; `op` is the name used in the message.
 */
export function resolve(op: string, settings: PrintSettings = {}): PrintOptions {
  const result: PrintOptions = { ...current }
  const { profile, ...single } = settings
  if (profile !== undefined) {
    if (!Object.hasOwn(profiles, profile)) {
      throw new ValueError(`${op}: unknown profile: got "${profile}", expected one of default, short, full`)
    }
    Object.assign(result, profiles[profile])
  }
  for (const [name, value] of Object.entries(single)) {
    if (!Object.hasOwn(result, name)) {
      throw new ValueError(
        `${op}: unknown option "${name}"; the options are ${Object.keys(current).join(", ")}, profile`,
      )
    }
    if (value !== undefined) Object.assign(result, { [name]: value })
  }
  check(op, result)
  return result
}

function check(op: string, options: PrintOptions): void {
  const { precision, threshold, edgeitems, linewidth, sciMode } = options
  const fail = (name: string, value: unknown, expected: string): never => {
    throw new ValueError(`${op}: ${name} out of range: got ${String(value)}, expected ${expected}`)
  }
  if (!Number.isInteger(precision) || precision < 0 || precision > 1000) {
    fail("precision", precision, "an integer from 0 to 1000")
  }
  if (typeof threshold !== "number" || !(threshold >= 0)) fail("threshold", threshold, "a number >= 0 or Infinity")
  // PyTorch's slicing prints all elements after the dots for 0; that is of no use, so 0 is refused.
  if (!Number.isInteger(edgeitems) || edgeitems < 1) fail("edgeitems", edgeitems, "an integer >= 1")
  if (typeof linewidth !== "number" || !(linewidth >= 1)) fail("linewidth", linewidth, "a number >= 1 or Infinity")
  if (sciMode !== undefined && typeof sciMode !== "boolean") fail("sciMode", sciMode, "true, false or undefined")
}
