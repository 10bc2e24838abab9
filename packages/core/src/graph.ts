// The autograd graph as data: nodes, edges, saved tensors, and the switch that says whether operations are recorded.
// Walking the graph is autograd.ts's work; which operations exist is not known here.
import { type DType, GradientError, isFloat, shapeText, ValueError } from "@rondo/backend"
import type { Device } from "./device.js"
import type { RowGradient } from "./rowgradient.js"
import type { Tensor } from "./tensor.js"

/** Receives the complete gradient of a tensor; a returned tensor replaces it. */
export type GradHook = (grad: Tensor) => Tensor | void

/** Takes a hook off again. */
export interface RemovableHook {
  remove(): void
}

/** A tensor, or a number that was written in its place. */
export type Operand = Tensor | number

/** What the engine must know of a tensor whose data it does not hold. */
export interface Meta {
  readonly shape: readonly number[]
  readonly dtype: DType
  readonly device: Device
}

/** Where a gradient goes: output `index` of `node`. */
export interface Edge {
  readonly node: Node
  readonly index: number
}

/** Gradient of an input: where few rows of it matter, these alone; null for none. */
export type InputGrad = Tensor | RowGradient | null | undefined

/** Gradients of the outputs in (null where nothing arrived), gradients of the inputs out. */
export type Rule = (grads: readonly (Tensor | null)[], saved: Saved) => InputGrad[]

/** The rule of operations whose gradient passes as it is: what broadcasting or a dtype did to it, the engine undoes. */
export const passOn: Rule = ([g]) => [g]

/** Names of what backward needs: inputs 0, 1, 2 and the first output. */
export type Kept = "x" | "y" | "z" | "out"

let sequence = 0

/** One recorded operation. */
export class Node {
  /** As in PyTorch's printing: `TanhBackward0`. */
  readonly name: string
  /** Where the gradient of each input goes; null for inputs that need none. */
  readonly edges: readonly (Edge | null)[]
  readonly inputs: readonly (Meta | null)[]
  readonly outputs: readonly Meta[]
  /** Creation order: of the nodes that are ready, the engine takes the latest, as PyTorch does. */
  readonly order = sequence++
  /** Where the operation was called; recorded in anomaly mode. */
  readonly stack: string | undefined
  saved: Saved | null
  hooks: Map<number, Set<GradHook>> | null = null
  retained: Map<number, (grad: Tensor) => void> | null = null
  /** True for a view: gradients pass as they are, to other places. */
  passes = false
  private readonly rule: Rule

  constructor(
    name: string,
    edges: readonly (Edge | null)[],
    inputs: readonly (Meta | null)[],
    outputs: readonly Meta[],
    rule: Rule,
    saved: Saved,
  ) {
    this.name = name
    this.edges = edges
    this.inputs = inputs
    this.outputs = outputs
    this.rule = rule
    this.saved = saved
    this.stack = mode.anomaly ? new Error("forward").stack : undefined
  }

  /** Applies the rule. Throws a GradientError if what it needs was freed by an earlier backward. */
  apply(grads: readonly (Tensor | null)[]): InputGrad[] {
    if (!this.saved) {
      throw new GradientError(
        `backward: ${this.name} was already passed and its saved tensors are freed; call backward({ retainGraph: true }) the first time`,
      )
    }
    return this.rule(grads, this.saved)
  }
  /** Drops the saved tensors, if there are any: a node that keeps none can be passed again. */
  release(): void {
    if (this.saved?.holds) this.saved = null
  }
  addHook(index: number, hook: GradHook): RemovableHook {
    const map = (this.hooks ??= new Map())
    const set = map.get(index) ?? new Set()
    map.set(index, set.add(hook))
    return { remove: () => void set.delete(hook) }
  }
  retain(index: number, store: (grad: Tensor) => void): void {
    ;(this.retained ??= new Map()).set(index, store)
  }
}

/** The end of every path: a leaf that collects its gradient. The engine stores it; the rule is never called. */
export class AccumulateNode extends Node {
  readonly leaf: Tensor
  /** What the leaf shows as its `rowGradient`: here, since hardly any tensor has one. */
  rows: RowGradient | null = null
  constructor(leaf: Tensor) {
    super("AccumulateGrad", [], [], [leaf], () => [], new Saved("AccumulateGrad", [], [], null))
    this.leaf = leaf
  }
}

const nobody: ReadonlyMap<Node, unknown> = new Map()

/** The tensors that one node keeps for backward, checked against in-place changes when they are used. */
export class Saved {
  /** Whether each input's gradient is wanted, so that rules can leave out work. */
  needs: readonly boolean[] = []
  /** Whether what is saved is freed after this. */
  last = false
  /** Nodes whose gradients somebody asked for. */
  captures: ReadonlyMap<Node, unknown> = nobody
  readonly params: readonly number[]
  readonly shapes: readonly (readonly number[])[]
  private readonly op: string
  /** x, y, z and out, then whatever else the operation keeps. */
  private readonly values: (Operand | null)[]
  private readonly versions: number[]

  /** `values` are x, y, z (null where not kept); `out` the first output or null. */
  constructor(
    op: string,
    values: readonly (Operand | null)[],
    shapes: readonly (readonly number[])[],
    out: Tensor | null,
    params: readonly number[] = [],
  ) {
    this.op = op
    const [x = null, y = null, z = null] = values
    this.values = [x, y, z, out]
    this.versions = [versionOf(x), versionOf(y), versionOf(z), versionOf(out)]
    this.shapes = shapes
    this.params = params
  }
  /** Numbers count as PyTorch's do, which are tensors there: x.mul(2) cannot be passed twice, x.add(2) can. */
  get holds(): boolean {
    for (const value of this.values) if (value !== null) return true
    return false
  }
  /** All tensors that are kept. */
  get held(): readonly Tensor[] {
    return this.values.filter((value) => value !== null && typeof value !== "number")
  }
  get x(): Tensor {
    return this.take(0) as Tensor
  }
  get y(): Tensor {
    return this.take(1) as Tensor
  }
  get z(): Tensor {
    return this.take(2) as Tensor
  }
  get out(): Tensor {
    return this.take(3) as Tensor
  }
  /** For in-place operations, whose result exists only after the inputs were saved. */
  keepOut(out: Tensor): void {
    this.values[3] = out
    this.versions[3] = out.handle.version
  }
  /** Keeps further tensors, read by {@link more}. */
  keepMore(tensors: readonly Tensor[]): void {
    this.values.push(...tensors)
    this.versions.push(...tensors.map(versionOf))
  }
  /** Number `i` of the tensors kept by {@link keepMore}. */
  more(i: number): Tensor {
    return this.take(4 + i) as Tensor
  }
  has(value: Tensor): boolean {
    return this.values.includes(value)
  }
  private take(i: number): Operand {
    const value = this.values[i]
    if (value === null)
      throw new GradientError(`${this.op}: its gradient reads operand ${i}, which its row does not keep`)
    if (typeof value === "number") return value
    value.check(`${this.op} (backward)`)
    if (value.handle.version !== this.versions[i]) {
      const what = `a saved ${value.dtype} tensor of shape ${shapeText(value.shape)}`
      throw new GradientError(
        `${this.op}: ${what} was changed in place after the forward pass: it is at version ${value.handle.version}, expected ${this.versions[i]}; use the out-of-place form, or clone it before`,
      )
    }
    return value
  }
}

const versionOf = (value: Operand | null): number =>
  value === null || typeof value === "number" ? 0 : value.handle.version

/** True if gradients at `from` come to `to` through views alone. */
export function reaches(from: Node, to: Node): boolean {
  let at: Node | undefined = from
  while (at && at !== to && at.passes) at = at.edges[0]?.node
  return at === to
}

/** True if somebody looks at gradients on that way, both ends included. */
export function seenBetween(from: Node, to: Node, captures: ReadonlyMap<Node, unknown>): boolean {
  for (let at = from; ; at = (at.edges[0] as Edge).node) {
    if (at.retained || at.stack !== undefined || captures.has(at)) return true
    for (const hooks of at.hooks?.values() ?? []) if (hooks.size > 0) return true
    if (at === to) return false
  }
}

/** Switches of the recorder. */
export const mode = { record: true, anomaly: false }

function within<T>(name: string, key: keyof typeof mode, value: boolean, body: () => T): T {
  if (typeof body !== "function") throw new ValueError(`${name}: needs a function to run, got ${typeof body}`)
  const before = mode[key]
  mode[key] = value
  let result: T
  try {
    result = body()
  } finally {
    mode[key] = before
  }
  if (result instanceof Promise) {
    // Waiting would leave the switch thrown for whatever else runs meanwhile.
    throw new ValueError(`${name}: the body returned a promise; compute inside and await outside`)
  }
  return result
}

/**
 * Runs `body` without recording operations for backward. Throws a ValueError if `body` returns a promise.
 *
 * @example
 * ```ts
 * const model = new Linear(2, 1)
 * const prediction = noGrad(() => model.forward(ones(3, 2)))
 * console.log(prediction.requiresGrad) // false
 * ```
 */
export const noGrad = <T>(body: () => T): T => within("noGrad", "record", false, body)

/**
 * Records operations again inside {@link noGrad}.
 *
 * @example
 * ```ts
 * const x = tensor([1, 2], { requiresGrad: true })
 * console.log(noGrad(() => enableGrad(() => x.mul(2))).requiresGrad) // true
 * ```
 */
export const enableGrad = <T>(body: () => T): T => within("enableGrad", "record", true, body)

/** Whether operations are being recorded. */
export const isGradEnabled = (): boolean => mode.record

/**
 * Runs `body` in anomaly mode: every operation remembers where it was called, and a backward that produces a NaN throws a
 * GradientError with that place. Slow: for finding faults only. Needs a device with synchronous reads.
 *
 * @example
 * ```ts
 * const x = tensor([0], { requiresGrad: true })
 * try {
 *   detectAnomaly(() => x.sqrt().mul(0).sum().backward()) // 0 * infinity
 * } catch (error) {
 *   console.log((error as Error).name) // GradientError
 * }
 * ```
 */
export const detectAnomaly = <T>(body: () => T): T => within("detectAnomaly", "anomaly", true, body)

/** The edge along which a gradient reaches `x`, or null if none is wanted. */
export function edgeOf(x: Operand | null): Edge | null {
  if (x === null || typeof x === "number" || !x.requiresGrad) return null
  const node = x.gradFn
  return node ? { node, index: x.outputIndex } : { node: x.accumulator(), index: 0 }
}

/** True if an operation on `inputs` must be recorded. */
export function wantsGrad(inputs: readonly (Operand | null)[]): boolean {
  if (!mode.record) return false
  for (const x of inputs) if (x !== null && typeof x !== "number" && x.requiresGrad) return true
  return false
}

const nodeNames = new Map<string, string>()

/** `tanh` → `TanhBackward0`, as PyTorch prints it. */
export function nodeName(op: string): string {
  let name = nodeNames.get(op)
  if (name === undefined) nodeNames.set(op, (name = `${op[0].toUpperCase()}${op.slice(1)}Backward0`))
  return name
}

/** Builds the node of an operation; the caller attaches it to the outputs. */
export function makeNode(
  op: string,
  inputs: readonly (Operand | null)[],
  outputs: readonly Tensor[],
  rule: Rule,
  saved: Saved,
): Node {
  const edges: (Edge | null)[] = []
  const metas: (Meta | null)[] = []
  for (const x of inputs) {
    edges.push(edgeOf(x))
    metas.push(x === null || typeof x === "number" ? null : slim(x))
  }
  const results: Meta[] = []
  for (const x of outputs) results.push(slim(x))
  return new Node(nodeName(op), edges, metas, results, rule, saved)
}

/** Metas must not keep tensors alive: only what they say is copied. */
const slim = ({ shape, dtype, device }: Meta): Meta => ({ shape, dtype, device })

/** Attaches `node` to those outputs that can carry gradients. */
export function attach(node: Node, outputs: readonly Tensor[]): void {
  for (let index = 0; index < outputs.length; index++) {
    const out = outputs[index]
    if (!isFloat(out.dtype)) continue
    out.node = node
    out.outputIndex = index
  }
}

/** What in-place changes do to the history of windows; installed together with the methods (see windows.ts). */
export const viewRules: {
  /** Derives the history of a window from that of its base, after the base's was rewritten. */
  regenerate(window: Tensor): void
  /** The base's new node, after `node` changed a window on it; `self` is the window's number among the node's inputs. */
  rebase(window: Tensor, node: Node, self: number): Node
} = { regenerate: missing, rebase: missing }

function missing(): never {
  throw new GradientError("gradFn: Tensor must be imported from the package's entry")
}
