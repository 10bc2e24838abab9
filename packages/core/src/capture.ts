// Steps that are recorded once and replayed: the numbers of ordinary calls without the work of building them in JavaScript.
import { type DType, GradientError, shapeText, ValueError } from "@rondo/backend"
import { describe } from "./arguments.js"
import { currentDevice, type Device, hasDevice } from "./device.js"
import { mode } from "./graph.js"
import { sameShape } from "./place.js"
import { type Place, placeOf, Recording, renewed } from "./recording.js"
import { outsideScopes } from "./scope.js"
import { tape, withTape } from "./tape.js"
import { Tensor } from "./tensor.js"

/** A captured body: called as the body itself. */
export interface Captured<I extends readonly Tensor[], R> {
  (...inputs: I): R
  /** How often the body was recorded: more than once for each form of inputs means that something it uses keeps moving. */
  readonly recordings: number
  /** Gives the memory back. Results and gradients of replays are disposed with it; the next call starts anew. */
  dispose(): void
  [Symbol.dispose](): void
}

/** A recording with what its body returned. */
interface Known {
  readonly recording: Recording
  readonly rebuild: () => unknown
}

// Recordings kept for inputs of one form: where gradients add up over several calls, the first finds none, the others one.
const most = 2

/**
 * Records what `body` does and replays it: the kernels alone, on memory of their own, without operations, graph or
 * gradient rules being built again. For training steps and time steps of small models, whose time goes to JavaScript. CUDA
 * graphs are PyTorch's counterpart (https://pytorch.org/docs/stable/generated/torch.cuda.graph.html).
 *
 * The first call with inputs of some shapes and dtypes runs the body as it is, the second records it, all further ones replay it. Each call
 * runs the step once, and all give the numbers that the body gives.
 *
 * - Inputs are tensors and may be others at each call; the body works on copies. Tensors that it uses from outside, as
 *   parameters, are used where they are; the body may change them in place.
 * - Results are tensors, or arrays and plain objects of them. They carry no graph, and **the next replay overwrites them**:
 *   `clone()` what must last.
 * - `backward()` inside sets or adds to gradients of leaves as always; optimisers' `zeroGrad` and `step`, and schedulers'
 *   `step`, may be inside or outside; dropout and other random tensors are drawn anew.
 * - JavaScript of the body runs when it is recorded, never at a replay: numbers and branches stay what they were, a variable
 *   that it sets is not set again. `uncaptured` calls a part at every replay. After `train()`, `eval()` and an optimiser's
 *   `addParamGroup`, dispose.
 *
 * If a tensor that the body uses is disposed or moved, or stops or starts to want gradients, the body is recorded anew; so it is
 * if a leaf has a gradient where it had none, and both recordings are kept. In anomaly mode the body runs as it is.
 *
 * Throws a ValueError for reading values inside, for bodies that return promises or change an input in place, and for inputs that are
 * no tensors; a GradientError for inputs that require gradients, and for uncaptured parts that give leaves other gradients than
 * when they were recorded; a DeviceError for work on two devices.
 *
 * @example
 * ```ts
 * const model = new Linear(2, 1)
 * const optimizer = new Adam(model.parameters(), { lr: 0.1 })
 * const step = capture((x: Tensor, y: Tensor) => {
 *   optimizer.zeroGrad()
 *   const loss = mseLoss(model.forward(x), y)
 *   loss.backward()
 *   optimizer.step()
 *   return loss
 * })
 * let last = 0
 * for (let i = 0; i < 100; i++) last = await step(ones(4, 2), zeros(4, 1)).item()
 * console.log(last < 0.01, step.recordings) // true 1
 * ```
 */
export function capture<I extends readonly Tensor[], R>(body: (...inputs: I) => R): Captured<I, R> {
  if (typeof body !== "function") throw new ValueError(`capture: needs a function to capture, got ${describe(body)}`)
  const known = new Map<string, readonly Known[]>()
  let recent: Form | null = null
  let recordings = 0
  const call = (...inputs: I): R => {
    for (let i = 0; i < inputs.length; i++) checkInput(inputs[i])
    // Inside of another captured body this is a part of it; who looks for NaNs wants every operation to be looked at.
    if (tape?.refuses || mode.anomaly) return ordinary(body, inputs)
    if (recent === null || !isOfForm(recent, inputs)) recent = formOf(inputs)
    const form = recent.key
    const found = known.get(form)
    if (found === undefined) {
      const result = ordinary(body, inputs)
      known.set(form, [])
      return result
    }
    for (let i = 0; i < found.length; i++) {
      const { recording, rebuild } = found[i]
      if (!recording.stands() || !recording.fits()) continue
      recording.fill(inputs)
      recording.replay()
      return rebuild() as R
    }
    const standing = found.filter(({ recording }) => recording.stands())
    known.set(form, standing)
    const made = record(body, inputs)
    known.set(form, [made, ...standing].slice(0, most))
    recordings++
    return made.rebuild() as R
  }
  const dispose = (): void => {
    for (const { recording } of [...known.values()].flat()) recording.dispose()
    known.clear()
  }
  Object.defineProperty(call, "recordings", { get: () => recordings })
  return Object.assign(call, { dispose, [Symbol.dispose]: dispose }) as unknown as Captured<I, R>
}

const ordinary = <I extends readonly Tensor[], R>(body: (...inputs: I) => R, inputs: I): R =>
  rebuilder(body(...inputs), { detach: true })() as R

function checkInput(x: unknown): void {
  if (!(x instanceof Tensor)) throw new ValueError(`capture: inputs must be tensors: got ${describe(x)}`)
  x.check("capture")
  if (!x.requiresGrad) return
  throw new GradientError(
    `capture: an input of shape ${shapeText(x.shape)} requires gradients: got a tensor with a graph, or a parameter; use it from outside of the body, or detach() it`,
  )
}

// Names do not tell two devices of a kind apart.
const numbers = new WeakMap<Device, number>()
let devices = 0

function numberOf(device: Device): number {
  let number = numbers.get(device)
  if (number === undefined) numbers.set(device, (number = devices++))
  return number
}

/** What recordings differ by: kernels are made for shapes, noGrad decides what is done, and the default device where. */
interface Form {
  readonly record: boolean
  readonly device: Device | null
  readonly inputs: readonly { readonly device: Device; readonly dtype: DType; readonly shape: readonly number[] }[]
  readonly key: string
}

const standard = (): Device | null => (hasDevice() ? currentDevice() : null)

function formOf(tensors: readonly Tensor[]): Form {
  const { record } = mode
  const device = standard()
  const inputs = tensors.map((x) => ({ device: x.device, dtype: x.dtype, shape: [...x.shape] }))
  const key = `${record} ${device ? numberOf(device) : ""} ${inputs.map((x) => `${numberOf(x.device)} ${x.dtype} ${x.shape.join()}`).join(" ")}`
  return { record, device, inputs, key }
}

/** The same without writing a key, for calls whose time counts. */
function isOfForm({ record, device, inputs }: Form, tensors: readonly Tensor[]): boolean {
  if (record !== mode.record || inputs.length !== tensors.length || device !== standard()) return false
  for (let i = 0; i < inputs.length; i++) {
    const a = inputs[i]
    const b = tensors[i]
    if (a.device !== b.device || a.dtype !== b.dtype || !sameShape(a.shape, b.shape)) return false
  }
  return true
}

function record<I extends readonly Tensor[], R>(body: (...inputs: I) => R, inputs: I): Known {
  const recording = new Recording()
  try {
    const statics = recording.place(inputs) as unknown as I
    recording.fill(inputs)
    const rebuild = withTape(recording, () =>
      rebuilder(
        outsideScopes(() => body(...statics)),
        { detach: false },
      ),
    )
    recording.close()
    return { recording, rebuild }
  } catch (error) {
    recording.abandon()
    throw error
  }
}

/** Makes of a result what the caller gets: tensors without graphs, anew each time unless they are leaves with gradients of their own. */
function rebuilder(value: unknown, { detach }: { readonly detach: boolean }): () => unknown {
  if (value instanceof Promise) {
    throw new ValueError("capture: the body returned a promise; compute inside and await outside")
  }
  if (value instanceof Tensor) {
    if (value.isLeaf && (detach || value.requiresGrad)) return () => value
    if (detach) return () => value.detach()
    const place: Place = placeOf(value)
    return () => renewed(place)
  }
  if (Array.isArray(value)) {
    const parts = value.map((item) => rebuilder(item, { detach }))
    return () => parts.map((part) => part())
  }
  if (value === null || typeof value !== "object" || Object.getPrototypeOf(value) !== Object.prototype)
    return () => value
  const parts = Object.entries(value).map(([name, item]) => [name, rebuilder(item, { detach })] as const)
  return () => Object.fromEntries(parts.map(([name, part]) => [name, part()]))
}
