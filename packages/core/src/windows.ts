// What an in-place change of a window does to history: the base gets a node that replaces the window, and every other
// window on that base derives its history anew. The geometry of PyTorch's CopySlices.
import { isContiguous, sizeOf } from "@rondo/backend"
import { edgeOf, type InputGrad, makeNode, Node, Saved, viewRules } from "./graph.js"
import { asStrided, asStridedScatter, contiguous, reshape, windowSum, zerosOf } from "./ops/movement.js"
import { RowGradient } from "./rowgradient.js"
import type { Geometry, Tensor } from "./tensor.js"

/** The shape of everything that a base's storage holds, as one row. */
const wholeOf = (base: Tensor): number[] => [base.storage.bytes / base.itemsize]

const fillsStorage = (base: Geometry, whole: number): boolean =>
  base.offset === 0 && isContiguous(base.shape, base.strides) && sizeOf(base.shape) === whole

/** A gradient of `base`, laid out as the base's storage is: any window's geometry then fits it. */
function laidOut(g: Tensor, base: Geometry, whole: readonly number[]): Tensor {
  if (fillsStorage(base, whole[0])) return reshape(contiguous(g), whole)
  return asStridedScatter(zerosOf(g, whole), g, base.shape, base.strides, base.offset)
}

/** The reverse of {@link laidOut}. */
function takenOut(flat: Tensor, base: Geometry): Tensor {
  return fillsStorage(base, flat.shape[0])
    ? reshape(flat, base.shape)
    : asStrided(flat, base.shape, base.strides, base.offset)
}

const geometryOf = ({ shape, strides, offset }: Geometry): Geometry => ({ shape, strides, offset })

function rebase(window: Tensor, node: Node, self: number): Node {
  const base = window.base as Tensor
  const whole = wholeOf(base)
  const [outer, inner] = [geometryOf(base), geometryOf(window)]
  const others = node.edges.map((edge, i) => (i === self ? null : edge))
  const meta = { shape: base.shape, dtype: base.dtype, device: base.device }
  const rule = ([g]: readonly (Tensor | null)[]): InputGrad[] => {
    if (!g) return []
    const flat = laidOut(g, outer, whole)
    const part = asStrided(flat, inner.shape, inner.strides, inner.offset)
    if (node.saved) node.saved.needs = node.edges.map((edge) => edge !== null)
    const results = node.apply([part.clone()])
    const given = self >= 0 ? results[self] : null
    const own = given instanceof RowGradient ? given.toDense() : (given ?? zerosOf(part, inner.shape))
    return [
      takenOut(asStridedScatter(flat, own, inner.shape, inner.strides, inner.offset), outer),
      ...results.map((r, i) => (i === self ? null : r)),
    ]
  }
  return new Node("CopySlices", [edgeOf(base), ...others], [meta, ...node.inputs], [meta], rule, new WindowSaved(node))
}

/** Holds what the wrapped node holds, so that passing twice is caught. */
class WindowSaved extends Saved {
  private readonly inner: Node
  constructor(inner: Node) {
    super("CopySlices", [], [], null)
    this.inner = inner
  }
  override get held(): readonly Tensor[] {
    return this.inner.saved?.held ?? []
  }
  override get holds(): boolean {
    return this.inner.saved === null || this.inner.saved.holds
  }
}

function regenerate(window: Tensor): void {
  const base = window.base as Tensor
  window.seenRewrites = base.rewrites
  if (!base.requiresGrad) return
  const whole = wholeOf(base)
  const [outer, inner] = [geometryOf(base), geometryOf(window)]
  const rule = ([g]: readonly (Tensor | null)[]): (Tensor | null)[] => {
    if (!g) return []
    const flat = windowSum(g, whole, inner)
    return [takenOut(flat, outer)]
  }
  window.node = makeNode("asStrided", [base], [window], rule, new Saved("asStrided", [], [], null))
  window.outputIndex = 0
  window.followHistory()
}

/** Installs these rules; called where the methods are. */
export function installViewRules(): void {
  viewRules.rebase = rebase
  viewRules.regenerate = regenerate
}
