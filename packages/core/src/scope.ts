// Deterministic freeing: tensors made inside a scope die at its end, except those it returns or keeps.
import { ValueError } from "@rondo/backend"
import type { Tensor } from "./tensor.js"

/** The tensors that were made in a scope. Those that it is no longer the {@link Tensor.home} of are no longer its business. */
export type Scope = Tensor[]

const stack: Scope[] = []

/** @internal Every new tensor reports here. */
export function adopt(tensor: Tensor): void {
  if (stack.length === 0) return
  const own = stack[stack.length - 1]
  tensor.home = own
  own.push(tensor)
}

/** Frees what still belongs to a scope. */
function clear(own: Scope): void {
  for (const tensor of own) {
    if (tensor.home !== own) continue
    tensor.home = null
    tensor.dispose()
  }
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
  const own: Scope = []
  stack.push(own)
  let result: T
  try {
    result = body()
  } catch (error) {
    clear(own)
    throw error
  } finally {
    stack.pop()
  }
  if (result instanceof Promise) {
    clear(own)
    throw new ValueError("scope: the body returned a promise; compute inside the scope and await outside of it")
  }
  handOver(result, own)
  clear(own)
  return result
}

/** @internal Runs `body`, whose tensors belong to no scope around: they are freed here if it throws, else when nothing refers to them. */
export function outsideScopes<T>(body: () => T): T {
  const own: Scope = []
  stack.push(own)
  try {
    return body()
  } catch (error) {
    clear(own)
    throw error
  } finally {
    stack.pop()
  }
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
  tensor.home = null
  return tensor
}

/** Gives the tensors in `value` to the scope around, or to nobody. */
function handOver(value: unknown, own: Scope): void {
  if (value === null || typeof value !== "object") return
  if ("handle" in value && "storage" in value) {
    const tensor = value as Tensor
    if (tensor.home !== own) return
    tensor.home = null
    adopt(tensor)
  } else if (Array.isArray(value)) for (const item of value) handOver(item, own)
  // A row gradient, whose class is made of operations and cannot be imported here.
  else if ("indices" in value && "values" in value)
    for (const item of [value.indices, value.values]) handOver(item, own)
  else if (Object.getPrototypeOf(value) === Object.prototype)
    for (const item of Object.values(value)) handOver(item, own)
}
