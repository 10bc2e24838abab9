// Modules that hold modules: in a chain, in a list, by name.
import { IndexError, ValueError } from "@rondo/backend"
import type { Tensor } from "@rondo/core"
import { Module } from "./module.js"

/** A module from one tensor to one tensor. */
export interface Layer extends Module {
  forward(x: Tensor): Tensor
}

/** Checks and stores modules by name; numbers are names too. */
abstract class Container<M extends Module> extends Module {
  readonly #items = new Map<string, M>()

  protected put(name: string, module: M): void {
    if (!(module instanceof Module)) {
      throw new ValueError(`${this.constructor.name}: item ${name} is not a module: got ${typeof module}`)
    }
    if (name === "" || name.includes(".")) {
      throw new ValueError(`${this.constructor.name}: a name must not be empty or contain a dot: got "${name}"`)
    }
    this.#items.set(name, module)
  }
  protected get items(): ReadonlyMap<string, M> {
    return this.#items
  }
  protected take(name: string): boolean {
    return this.#items.delete(name)
  }
  protected override fields(): Iterable<readonly [string, unknown]> {
    return this.#items
  }
  /** How many there are. */
  get length(): number {
    return this.#items.size
  }
}

function itemAt<M extends Module>(owner: Module, items: readonly M[], index: number): M {
  const found = Number.isInteger(index) ? items.at(index) : undefined
  if (found) return found
  const size = items.length
  throw new IndexError(
    `${owner.constructor.name}: index out of range: got ${index}, expected ${size === 0 ? "none, it is empty" : `${-size} to ${size - 1}`}`,
  )
}

/**
 * Layers one after the other. Given as arguments they are named 0, 1, …; given as one object, by its keys.
 *
 * @example
 * ```ts
 * const net = new Sequential(new Linear(2, 8), new Tanh(), new Linear(8, 1))
 * const y = net.forward(ones(4, 2)) // [4, 1]
 * const named = new Sequential({ hidden: new Linear(2, 8), act: new Tanh() })
 * console.log(Object.keys(named.stateDict())) // ["hidden.weight", "hidden.bias"]
 * ```
 */
export class Sequential extends Container<Layer> {
  constructor(...layers: Layer[] | [Readonly<Record<string, Layer>>]) {
    super()
    const [first] = layers
    const entries =
      layers.length === 1 && first !== null && typeof first === "object" && !(first instanceof Module)
        ? Object.entries(first)
        : (layers as Layer[]).map((layer, i): [string, Layer] => [String(i), layer])
    for (const [name, layer] of entries) this.put(name, layer)
  }
  /** Adds a layer at the end, named by its number. Returns this. */
  append(layer: Layer): this {
    this.put(String(this.length), layer)
    return this
  }
  /** The layer at `index`; negative counts from the end. Throws an IndexError outside. */
  at(index: number): Layer {
    return itemAt(this, [...this.items.values()], index)
  }
  [Symbol.iterator](): Iterator<Layer> {
    return this.items.values()
  }
  forward(x: Tensor): Tensor {
    let value = x
    for (const layer of this) value = layer.forward(value)
    return value
  }
}

/**
 * A list of modules, which a plain array cannot be: their parameters are found. Has no forward of its own.
 *
 * @example
 * ```ts
 * class Deep extends Module {
 *   layers = new ModuleList([new Linear(4, 4), new Linear(4, 4)])
 *   forward(x: Tensor): Tensor {
 *     for (const layer of this.layers) x = layer.forward(x).tanh()
 *     return x
 *   }
 * }
 * const y = new Deep().forward(ones(3, 4)) // [3, 4]
 * ```
 */
export class ModuleList<M extends Module = Module> extends Container<M> {
  constructor(modules: Iterable<M> = []) {
    super()
    this.extend(modules)
  }
  /** Adds at the end. Returns this. */
  append(module: M): this {
    this.put(String(this.length), module)
    return this
  }
  /** Adds all at the end. Returns this. */
  extend(modules: Iterable<M>): this {
    if (modules === null || typeof modules !== "object" || !(Symbol.iterator in modules))
      throw new ValueError(
        `ModuleList: needs an iterable of modules, got ${modules === null ? "null" : typeof modules}`,
      )
    for (const module of modules) this.append(module)
    return this
  }
  /** Puts a module before position `index`. Returns this. Throws an IndexError outside 0 … length. */
  insert(index: number, module: M): this {
    if (!Number.isInteger(index) || index < 0 || index > this.length) {
      throw new IndexError(`ModuleList: position out of range: got ${index}, expected 0 to ${this.length}`)
    }
    const all = [...this.items.values()]
    all.splice(index, 0, module)
    all.forEach((item, i) => this.put(String(i), item))
    return this
  }
  /** The module at `index`; negative counts from the end. Throws an IndexError outside. */
  at(index: number): M {
    return itemAt(this, [...this.items.values()], index)
  }
  [Symbol.iterator](): Iterator<M> {
    return this.items.values()
  }
  forward(): never {
    throw new ValueError("ModuleList: has no forward; call those of its items")
  }
}

/**
 * Modules by name. Has no forward of its own.
 *
 * @example
 * ```ts
 * const heads = new ModuleDict({ price: new Linear(8, 1), volume: new Linear(8, 1) })
 * const y = heads.get("price").forward(ones(8)) // [1]
 * ```
 */
export class ModuleDict<M extends Module = Module> extends Container<M> {
  constructor(modules: Readonly<Record<string, M>> = {}) {
    super()
    if (typeof modules !== "object" || modules === null)
      throw new ValueError(`ModuleDict: needs modules by name, got ${modules === null ? "null" : typeof modules}`)
    for (const [name, module] of Object.entries(modules)) this.put(name, module)
  }
  /** The module of that name. Throws an IndexError if there is none. */
  get(name: string): M {
    const found = this.items.get(name)
    if (found) return found
    throw new IndexError(`ModuleDict: no module of that name: got "${name}", expected ${[...this.keys()].join(", ")}`)
  }
  /** Adds or replaces. Returns this. */
  set(name: string, module: M): this {
    this.put(name, module)
    return this
  }
  has(name: string): boolean {
    return this.items.has(name)
  }
  /** Removes; true if there was one. */
  delete(name: string): boolean {
    return this.take(name)
  }
  keys(): string[] {
    return [...this.items.keys()]
  }
  values(): M[] {
    return [...this.items.values()]
  }
  entries(): [string, M][] {
    return [...this.items]
  }
  forward(): never {
    throw new ValueError("ModuleDict: has no forward; call those of its items")
  }
}
