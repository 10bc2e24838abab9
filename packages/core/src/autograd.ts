// Walking the graph backwards: which nodes to visit, in which order, where gradients add up. Knows no operation by name.
import { DeviceError, DTypeError, GradientError, isFloat, shapeText, ShapeError, ValueError } from "@rondo/backend"
import { accumulate, accumulateRows, addOnto } from "./accumulate.js"
import { AccumulateNode, type Edge, edgeOf, type InputGrad, type Meta, mode, type Node } from "./graph.js"
import { argumentReader, describe } from "./arguments.js"
import { onesLike } from "./creation.js"
import { itemSync } from "./host.js"
import { add } from "./ops/arithmetic.js"
import { toDType } from "./ops/conversion.js"
import { isnan } from "./ops/logic.js"
import { reshape } from "./ops/movement.js"
import { any, sum } from "./ops/reduce.js"
import { sameShape } from "./place.js"
import { RowGradient } from "./rowgradient.js"
import { scope } from "./scope.js"
import { Tensor } from "./tensor.js"

/** How to go backwards. */
export interface BackwardOptions {
  /** Gradient of the root; may be left out for a root with one element. */
  readonly gradient?: Tensor
  /** Keep saved tensors, so that backward can pass again. Default: `createGraph`. */
  readonly retainGraph?: boolean
  /** Record backward itself, for second derivatives. */
  readonly createGraph?: boolean
}

const passing = { retainGraph: "flag", createGraph: "flag" } as const
const readBackward = argumentReader("backward", { root: "tensor", options: { gradient: "tensor|null", ...passing } })
const readGrad = argumentReader("grad", {
  outputs: "tensor|tensors",
  inputs: "tensor|tensors",
  options: { gradOutputs: "any", allowUnused: "flag", ...passing },
})

/**
 * Adds d root / d leaf to `grad` of every leaf that requires gradients.
 * Throws a GradientError if the root has no graph, has several elements and no `gradient`, or was passed already.
 *
 * @example
 * ```ts
 * const x = tensor([1, 2, 3], { requiresGrad: true })
 * backward(x.square().sum())
 * console.log(await x.grad!.tolist()) // [2, 4, 6]
 * ```
 */
export function backward(root: Tensor, options: BackwardOptions = {}): void {
  readBackward([root, options])
  const edge = rootEdge("backward", root)
  walk([edge], [rootGradient("backward", root, options.gradient)], options, null)
}

/** Options of {@link grad}. */
export interface GradOptions {
  readonly gradOutputs?: Tensor | readonly (Tensor | null)[]
  readonly retainGraph?: boolean
  readonly createGraph?: boolean
  /** Give null for inputs that the outputs do not depend on, instead of throwing. */
  readonly allowUnused?: boolean
}

/**
 * Gradients of `outputs` with respect to `inputs`, without touching any `grad`.
 * Throws a GradientError for inputs that were not used, unless `allowUnused`.
 *
 * @example
 * ```ts
 * const x = tensor(3, { requiresGrad: true })
 * const [dy] = grad(x.pow(3), x, { createGraph: true })
 * const [d2y] = grad(dy!, x)
 * console.log(await d2y!.item()) // 18
 * ```
 */
export function grad(
  outputs: Tensor | readonly Tensor[],
  inputs: Tensor | readonly Tensor[],
  options: GradOptions = {},
): (Tensor | null)[] {
  readGrad([outputs, inputs, options])
  const roots = listOf(outputs)
  const targets = listOf(inputs)
  const given =
    options.gradOutputs === undefined ? [] : listOf(options.gradOutputs as Tensor | readonly (Tensor | null)[])
  const edges = roots.map((root) => rootEdge("grad", root))
  const seeds = roots.map((root, i) => rootGradient("grad", root, given[i] ?? undefined))
  const captures = targets.map((x, i) => {
    const edge = edgeOf(x)
    if (!edge) throw new GradientError(`grad: input ${i} does not require gradients`)
    return edge
  })
  const found = walk(edges, seeds, options, captures)
  found.forEach((g, i) => {
    if (g === null && !options.allowUnused) {
      throw new GradientError(
        `grad: input ${i} of shape ${shapeText(targets[i].shape)} was not used for the outputs; set allowUnused to get null`,
      )
    }
  })
  return found
}

const listOf = <T>(x: T | readonly T[]): readonly T[] => (Array.isArray(x) ? (x as readonly T[]) : [x as T])

function rootEdge(name: string, root: Tensor): Edge {
  const edge = edgeOf(root)
  if (edge) return edge
  throw new GradientError(
    `${name}: the tensor has no graph: nothing it was made of requires gradients, or it was made under noGrad`,
  )
}

function rootGradient(name: string, root: Tensor, gradient: Tensor | null | undefined): Tensor {
  if (gradient === null || gradient === undefined) {
    if (root.shape.some((size) => size !== 1)) {
      throw new GradientError(
        `${name}: a gradient can be left out only for one element, got shape ${shapeText(root.shape)}; reduce it, or pass its gradient`,
      )
    }
    return onesLike(root)
  }
  if (!(gradient instanceof Tensor))
    throw new ValueError(`${name}: a gradient must be a tensor: got ${describe(gradient)}`)
  gradient.check(name)
  if (gradient.device !== root.device)
    throw new DeviceError(`${name}: the gradient is on ${gradient.device.name}, the tensor on ${root.device.name}`)
  if (!isFloat(gradient.dtype))
    throw new DTypeError(`${name}: a gradient must be of a float dtype: got ${gradient.dtype}`)
  if (gradient.shape.length !== root.ndim || gradient.shape.some((size, d) => size !== root.shape[d])) {
    throw new ShapeError(`${name}: gradient is ${shapeText(gradient.shape)}, the tensor ${shapeText(root.shape)}`)
  }
  return gradient
}

/** A gradient on its way, and whether only the engine holds it, so that it may be added to in place. */
interface Pending {
  value: Tensor
  owned: boolean
}

interface Walk {
  /** How many edges of nodes still to visit lead to each node. */
  readonly waiting: Map<Node, number>
  readonly pending: Map<Node, (Pending | null)[]>
  /** Nodes worth visiting: all, or those from which an input asked for can be reached. */
  readonly wanted: Set<Node> | null
  readonly captures: Map<Node, Set<number>>
  readonly captured: Map<Node, Map<number, Tensor>>
  readonly release: boolean
}

function walk(
  roots: readonly Edge[],
  seeds: readonly Tensor[],
  options: GradOptions,
  targets: readonly Edge[] | null,
): (Tensor | null)[] {
  const captures = new Map<Node, Set<number>>()
  for (const { node, index } of targets ?? []) captures.set(node, (captures.get(node) ?? new Set()).add(index))
  const { waiting, order } = survey(roots.map((edge) => edge.node))
  const state: Walk = {
    waiting,
    pending: new Map(),
    wanted: targets && reaching(order, captures),
    captures,
    captured: new Map(),
    release: !(options.retainGraph ?? options.createGraph ?? false),
  }
  const before = mode.record
  mode.record = options.createGraph ?? false
  try {
    roots.forEach((edge, i) => receive(state, edge, seeds[i]))
    visitAll(state, roots)
  } finally {
    mode.record = before
  }
  return (targets ?? []).map(({ node, index }) => state.captured.get(node)?.get(index) ?? null)
}

/** Counts the edges to each node that the roots reach, with a stack of its own: graphs are deeper than the call stack. */
function survey(roots: readonly Node[]): { waiting: Map<Node, number>; order: Node[] } {
  const waiting = new Map<Node, number>()
  const order: Node[] = []
  const stack: Node[] = []
  const meet = (node: Node): void => {
    if (waiting.has(node)) return
    waiting.set(node, 0)
    stack.push(node)
    order.push(node)
  }
  roots.forEach(meet)
  for (let node = stack.pop(); node; node = stack.pop()) {
    for (const edge of node.edges) {
      if (!edge) continue
      meet(edge.node)
      waiting.set(edge.node, (waiting.get(edge.node) as number) + 1)
    }
  }
  return { waiting, order }
}

/** The nodes from which a captured one can be reached. Nodes are older than those that use them: old ones come first. */
function reaching(nodes: Node[], captures: ReadonlyMap<Node, unknown>): Set<Node> {
  const wanted = new Set<Node>()
  // Leaves' nodes may be younger than their users, so they are looked at before everything else.
  const byAge = [...nodes].sort(
    (a, b) => Number(b.edges.length === 0) - Number(a.edges.length === 0) || a.order - b.order,
  )
  for (const node of byAge) {
    if (captures.has(node) || node.edges.some((edge) => edge && wanted.has(edge.node))) wanted.add(node)
  }
  return wanted
}

function receive(state: Walk, { node, index }: Edge, g: Tensor, owned = false): void {
  let slots = state.pending.get(node)
  if (!slots) state.pending.set(node, (slots = []))
  const slot = slots[index]
  if (!slot) slots[index] = { value: g, owned }
  else if (slot.owned && !mode.record) addOnto(slot.value, g)
  else slots[index] = { value: add(slot.value, g), owned: true }
}

function visitAll(state: Walk, roots: readonly Edge[]): void {
  const ready = new Heap()
  const queued = new Set<Node>()
  const offer = (node: Node): void => {
    if (queued.has(node)) return
    queued.add(node)
    ready.push(node)
  }
  for (const { node } of roots) if (state.waiting.get(node) === 0) offer(node)
  for (let node = ready.pop(); node; node = ready.pop()) {
    visit(state, node)
    for (const edge of node.edges) {
      if (!edge) continue
      const left = (state.waiting.get(edge.node) as number) - 1
      state.waiting.set(edge.node, left)
      if (left === 0) offer(edge.node)
    }
  }
}

// Every recorded operation passes here once a step. Plain loops: closures over arrays cost more than what they do, above all
// before they are compiled.
function visit(state: Walk, node: Node): void {
  const slots = state.pending.get(node)
  if (!slots) return
  state.pending.delete(node)
  const grads: (Tensor | null)[] = []
  for (let i = 0; i < node.outputs.length; i++) grads.push(slots[i]?.value ?? null)
  if (node.hooks) runHooks(node, grads)
  const captured = state.captures.get(node)
  if (captured)
    state.captured.set(node, new Map([...captured].flatMap((i) => (grads[i] ? [[i, grads[i] as Tensor]] : []))))
  if (node instanceof AccumulateNode) {
    const [g] = grads
    if (!state.wanted && g) accumulate(node.leaf, g, slots[0]?.owned === true && slots[0].value === g)
    return
  }
  const needs = neededBy(state, node)
  if (state.wanted && !needs.includes(true)) return
  node.retained?.forEach((store, i) => grads[i] && store(grads[i]))
  if (node.saved) {
    node.saved.needs = needs
    node.saved.captures = state.captures
    node.saved.last = state.release
  }
  // Unless backward is recorded itself, whatever a rule computes on the way is free again when it returns.
  const results = mode.record ? node.apply(grads) : scope(() => node.apply(grads))
  const { saved } = node
  for (let i = 0; i < needs.length; i++) {
    const g = results[i]
    if (needs[i] && g) passTo(state, node, i, g, grads, results)
  }
  if (state.release) node.release()
  // A hook may have kept what it was shown.
  if (!mode.record && !node.hooks && !node.retained) recycle(slots, results, saved, state.captured.get(node))
}

/** Which inputs of a node are to get a gradient. */
function neededBy({ wanted }: Walk, { edges }: Node): boolean[] {
  const needs: boolean[] = []
  for (const edge of edges) needs.push(edge !== null && (wanted === null || wanted.has(edge.node)))
  return needs
}

/** Hands the gradient of input `i` on. */
function passTo(
  state: Walk,
  node: Node,
  i: number,
  g: Tensor | RowGradient,
  grads: readonly (Tensor | null)[],
  results: readonly InputGrad[],
): void {
  const edge = node.edges[i] as Edge
  const rows = g instanceof RowGradient
  if (rows && takesRows(state, edge.node)) {
    if (node.stack) checkNaN(node, g.values)
    return accumulateRows(edge.node.leaf, g)
  }
  const fitted = fit(rows ? g.toDense() : g, node.inputs[i] as Meta)
  if (node.stack) checkNaN(node, fitted)
  receive(state, edge, fitted, isFresh(fitted, grads, results, node.saved))
}

/** True for a leaf that just stores its gradient: rows stay rows only where nobody looks at them or records them. */
const takesRows = (state: Walk, node: Node): node is AccumulateNode =>
  node instanceof AccumulateNode && !node.hooks?.get(0)?.size && !state.wanted && !mode.record

/** Frees gradients that only the engine held, now that they were passed on. */
function recycle(
  slots: readonly (Pending | null)[],
  results: readonly unknown[],
  saved: Node["saved"],
  captured: ReadonlyMap<number, Tensor> | undefined,
): void {
  for (const slot of slots) {
    if (!slot?.owned || slot.value.handle.owners !== 1) continue
    const { value } = slot
    if (results.includes(value) || saved?.has(value) || (captured && [...captured.values()].includes(value))) continue
    value.dispose()
  }
}

// A result that nobody else can hold may be kept, or added to in place. Whatever is one of the incoming gradients, is
// returned twice, shares memory or was saved may be held elsewhere.
function isFresh(
  g: Tensor,
  grads: readonly (Tensor | null)[],
  results: readonly unknown[],
  saved: Node["saved"],
): boolean {
  if (mode.record || g.handle.owners !== 1 || !g.isContiguous()) return false
  return !grads.includes(g) && results.indexOf(g) === results.lastIndexOf(g) && !saved?.has(g)
}

function runHooks(node: Node, grads: (Tensor | null)[]): void {
  grads.forEach((g, i) => {
    if (!g) return
    for (const hook of node.hooks?.get(i) ?? []) {
      const replaced = hook(grads[i] as Tensor)
      if (replaced) grads[i] = checkReplaced(replaced, grads[i] as Tensor)
    }
  })
}

/** What a hook gave must be able to stand for what it got. */
function checkReplaced(replaced: unknown, g: Tensor): Tensor {
  if (!(replaced instanceof Tensor))
    throw new ValueError(`registerHook: a hook must return a tensor or nothing: got ${describe(replaced)}`)
  replaced.check("registerHook")
  if (replaced.device !== g.device || replaced.ndim !== g.ndim || replaced.shape.some((n, d) => n !== g.shape[d])) {
    throw new ShapeError(
      `registerHook: a hook's gradient must be as the one it got: got ${describe(replaced)} on ${replaced.device.name}, expected ${describe(g)} on ${g.device.name}`,
    )
  }
  return replaced
}

/** Undoes broadcasting and promotion: sums over stretched dims and casts back. The one place where that happens. */
function fit(g: Tensor, to: Meta): Tensor {
  const out = sameShape(g.shape, to.shape) ? g : unbroadcast(g, to.shape)
  return out.dtype === to.dtype || !isFloat(to.dtype) ? out : toDType(out, to.dtype)
}

function unbroadcast(g: Tensor, shape: readonly number[]): Tensor {
  const lead = g.ndim - shape.length
  const dims: number[] = []
  for (let d = 0; d < g.ndim; d++) if (d < lead || (shape[d - lead] === 1 && g.shape[d] !== 1)) dims.push(d)
  if (lead >= 0 && dims.length > 0) return reshape(sum(g, dims, { keepdim: true }), shape)
  throw new ShapeError(
    `backward: a gradient of shape ${shapeText(g.shape)} does not fit an operand of shape ${shapeText(shape)}`,
  )
}

function checkNaN(node: Node, g: Tensor): void {
  if (!g.device.backend.readSync)
    throw new DeviceError(`detectAnomaly: needs a device with synchronous reads, ${g.device.name} has none`)
  const before = mode.record
  mode.record = false
  const bad = itemSync(any(isnan(g)))
  mode.record = before
  if (bad) throw new GradientError(`backward: ${node.name} produced a NaN; its forward was called here:\n${node.stack}`)
}

/** The youngest node first, as PyTorch's engine takes them. A binary heap. */
class Heap {
  private readonly nodes: Node[] = []
  push(node: Node): void {
    const { nodes } = this
    let i = nodes.push(node) - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (nodes[parent].order >= nodes[i].order) break
      ;[nodes[parent], nodes[i]] = [nodes[i], nodes[parent]]
      i = parent
    }
  }
  pop(): Node | undefined {
    const { nodes } = this
    const top = nodes[0]
    const last = nodes.pop()
    if (nodes.length === 0 || !last) return top
    nodes[0] = last
    for (let i = 0; ;) {
      const left = 2 * i + 1
      if (left >= nodes.length) return top
      const child = left + 1 < nodes.length && nodes[left + 1].order > nodes[left].order ? left + 1 : left
      if (nodes[i].order >= nodes[child].order) return top
      ;[nodes[i], nodes[child]] = [nodes[child], nodes[i]]
      i = child
    }
  }
}
