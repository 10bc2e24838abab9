// States of models: tensors, nested in arrays and plain objects in any way.
import { Tensor } from "@rondo/core"

/** `tree` with every tensor in it replaced. */
export function mapTensors<S>(tree: S, replace: (x: Tensor) => Tensor): S {
  const visit = (value: unknown): unknown => {
    if (value instanceof Tensor) return replace(value)
    if (Array.isArray(value)) return value.map(visit)
    if (value === null || typeof value !== "object" || Object.getPrototypeOf(value) !== Object.prototype) return value
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, visit(item)]))
  }
  return visit(tree) as S
}

/** All tensors of `tree`. */
export function tensorsOf(tree: unknown): Tensor[] {
  const found: Tensor[] = []
  mapTensors(tree, (x) => {
    found.push(x)
    return x
  })
  return found
}
