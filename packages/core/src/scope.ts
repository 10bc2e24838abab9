// Deterministic freeing: tensors made inside a scope die at its end, except those it returns or keeps.
import { ValueError } from "@rondo/backend"
import type { Tensor } from "./tensor.js"

const stack: Set<Tensor>[] = []

/** @internal Every new tensor reports here. */
export function adopt(tensor: Tensor): void {
  if (stack.length > 0) stack[stack.length - 1].add(tensor)
}

/**
 * Runs `body` and frees every tensor made inside, except those in what it returns (a tensor, or arrays and plain objects
 * of them), those given to {@link keep}, and gradients of leaves. Scopes nest; what an inner scope returns belongs to the outer.
 * Throws a ValueError if `body` returns a promise.
 *
 * @example
 * ```ts
 * const model = new Linear(2, 1)
 * const [x, y] = [ones(8, 2), zeros(8, 1)]
 * const loss = scope(() => mseLoss(model.forward(x), y)) // intermediates are freed, the loss stays
 * console.log(loss.shape) // []
 * ```
 */
export function scope<T>(body: () => T): T {
  if (typeof body !== "function") throw new ValueError(`scope: needs a function to run, got ${typeof body}`)
  const own = new Set<Tensor>()
  stack.push(own)
  let result: T
  try {
    result = body()
  } catch (error) {
    for (const tensor of own) tensor.dispose()
    throw error
  } finally {
    stack.pop()
  }
  if (result instanceof Promise) {
    for (const tensor of own) tensor.dispose()
    throw new ValueError("scope: the body returned a promise; compute inside the scope and await outside of it")
  }
  const kept = new Set<Tensor>()
  collect(result, kept)
  for (const tensor of own) {
    if (!kept.has(tensor)) tensor.dispose()
    else adopt(tensor)
  }
  return result
}

/**
 * Takes `tensor` out of the scopes that would free it, and returns it.
 *
 * @example
 * ```ts
 * const state: { last?: Tensor } = {}
 * scope(() => {
 *   state.last = keep(ones(2).mul(3)) // outlives the scope, though it is not returned
 * })
 * console.log(await state.last!.tolist()) // [3, 3]
 * ```
 */
export function keep<T extends Tensor>(tensor: T): T {
  for (const own of stack) own.delete(tensor)
  return tensor
}

function collect(value: unknown, into: Set<Tensor>): void {
  if (value === null || typeof value !== "object") return
  if ("handle" in value && "storage" in value) into.add(value as Tensor)
  else if (Array.isArray(value)) value.forEach((item) => collect(item, into))
  // A row gradient, whose class is made of operations and cannot be imported here.
  else if ("indices" in value && "values" in value) [value.indices, value.values].forEach((item) => collect(item, into))
  else if (Object.getPrototypeOf(value) === Object.prototype)
    Object.values(value).forEach((item) => collect(item, into))
}
