// The base of every layer and model: which parameters, buffers and children it has, and its state as a whole.
import { checkDType, type DType, DTypeError, isFloat, ValueError } from "@rondo/backend"
import { checkOptions, Device, empty, keep, noGrad, type OptionChecks, RowGradient, Tensor } from "@rondo/core"
import { Parameter } from "./parameter.js"
import { type LoadResult, loadState, type StateDict } from "./state.js"

/** Options of {@link Module.loadStateDict}. */
export interface LoadOptions {
  /** Throw if keys are missing or unexpected. Default true. */
  readonly strict?: boolean
}

const loadChecks: OptionChecks<LoadOptions> = { strict: "flag" }
const bufferChecks: OptionChecks<{ persistent?: boolean }> = { persistent: "flag" }
const zeroChecks: OptionChecks<{ setToNone?: boolean }> = { setToNone: "flag" }

/**
 * Base class of layers and models. Fields that hold a {@link Parameter} or another Module are found by themselves, in the
 * order of the fields; their names become PyTorch's state-dict keys. Lists of modules belong in a ModuleList: a plain
 * array of them throws a ValueError, since its parameters would never be trained.
 *
 * @example
 * ```ts
 * class Net extends Module {
 *   hidden = new Linear(2, 8)
 *   out = new Linear(8, 1)
 *   forward(x: Tensor): Tensor {
 *     return this.out.forward(this.hidden.forward(x).tanh())
 *   }
 * }
 * const net = new Net()
 * console.log(Object.keys(net.stateDict())) // ["hidden.weight", "hidden.bias", "out.weight", "out.bias"]
 * ```
 */
export abstract class Module {
  /** False after {@link eval}: dropout then does nothing. */
  training = true
  readonly #buffers = new Map<string, { readonly persistent: boolean }>()

  /** What the layer computes. */
  abstract forward(...inputs: never[]): unknown

  /** Fields to look for parameters and children in; containers give their items instead. */
  protected fields(): Iterable<readonly [string, unknown]> {
    return Object.entries(this)
  }
  /** What stands between the brackets of {@link toString}, in PyTorch's spelling. */
  protected extraRepr(): string {
    return ""
  }

  #own<T>(wanted: (value: unknown, name: string) => value is T): [string, T][] {
    const found: [string, T][] = []
    for (const [name, value] of this.fields()) {
      if (Array.isArray(value) && value.some((item) => item instanceof Module || item instanceof Parameter)) {
        throw new ValueError(
          `${this.constructor.name}: field ${name} is a plain array of modules or parameters: they would not be trained or saved; use a ModuleList, or a private #${name} to hide them on purpose`,
        )
      }
      if (wanted(value, name)) found.push([name, value])
    }
    return found
  }
  #parameters(): [string, Parameter][] {
    return this.#own((value, name): value is Parameter => value instanceof Parameter && !this.#buffers.has(name))
  }
  #ownBuffers(persistentOnly: boolean): [string, Tensor][] {
    const found: [string, Tensor][] = []
    for (const [name, { persistent }] of this.#buffers) {
      const value = (this as unknown as Record<string, unknown>)[name]
      if (value instanceof Tensor && (persistent || !persistentOnly)) found.push([name, value])
    }
    return found
  }

  // ---- what there is

  /** Direct children with their names. */
  namedChildren(): [string, Module][] {
    return this.#own((value): value is Module => value instanceof Module)
  }
  /** Direct children. */
  children(): Module[] {
    return this.namedChildren().map(([, child]) => child)
  }
  /** This module and all below it, each once, with dotted names; its own name is `prefix`. */
  namedModules(prefix = ""): [string, Module][] {
    const found = new Map<Module, string>()
    const visit = (module: Module, name: string): void => {
      if (found.has(module)) return
      found.set(module, name)
      for (const [key, child] of module.namedChildren()) visit(child, join(name, key))
    }
    visit(this, prefix)
    return [...found].map(([module, name]) => [name, module])
  }
  /** This module and all below it, each once. */
  modules(): Module[] {
    return this.namedModules().map(([, module]) => module)
  }
  /** All parameters with their dotted names, each once (the first name counts). */
  namedParameters(prefix = ""): [string, Parameter][] {
    return unique(this.namedModules(prefix), (module) => module.#parameters())
  }
  /** All parameters, each once: what an optimiser takes. */
  parameters(): Parameter[] {
    return this.namedParameters().map(([, parameter]) => parameter)
  }
  /** All buffers with their dotted names, each once. */
  namedBuffers(prefix = ""): [string, Tensor][] {
    return unique(this.namedModules(prefix), (module) => module.#ownBuffers(false))
  }
  /** All buffers, each once. */
  buffers(): Tensor[] {
    return this.namedBuffers().map(([, buffer]) => buffer)
  }

  // ---- registration

  /**
   * Makes `this[name]` a buffer: a tensor that is saved and moved with the module but not trained. `null` reserves the
   * name. Buffers that are not `persistent` are left out of the state dict.
   * Throws a ValueError for names with a dot, or in use by something that is no buffer.
   */
  registerBuffer(name: string, tensor: Tensor | null, options?: { readonly persistent?: boolean }): void {
    const { persistent = true } = checkOptions("registerBuffer", bufferChecks, options)
    if (!this.#buffers.has(name)) this.#checkName("registerBuffer", name)
    mustBe("registerBuffer", tensor, Tensor)
    this.#buffers.set(name, { persistent })
    Object.assign(this, { [name]: tensor })
    if (tensor) keep(tensor)
  }
  /** Assigns `this[name]`; for names that are computed. `null` means: none. Throws a ValueError for a bad name. */
  registerParameter(name: string, parameter: Parameter | null): void {
    this.#checkName("registerParameter", name)
    mustBe("registerParameter", parameter, Parameter)
    Object.assign(this, { [name]: parameter })
  }
  /** As {@link registerParameter}, for a child. */
  registerModule(name: string, module: Module | null): void {
    this.#checkName("registerModule", name)
    mustBe("registerModule", module, Module)
    Object.assign(this, { [name]: module })
  }
  #checkName(call: string, name: string): void {
    if (typeof name !== "string") throw new ValueError(`${call}: a name must be a string, got ${typeof name}`)
    const reason =
      name === ""
        ? "must not be empty"
        : name.includes(".")
          ? "must not contain a dot"
          : name in this && (this as unknown as Record<string, unknown>)[name] !== undefined
            ? "is in use"
            : null
    if (reason) throw new ValueError(`${call}: ${this.constructor.name}: the name ${reason}: got "${name}"`)
  }

  // ---- switches

  /** Sets {@link training} here and below. Returns this. */
  train(mode = true): this {
    for (const module of this.modules()) module.training = mode
    return this
  }
  /** `train(false)`. */
  eval(): this {
    return this.train(false)
  }
  /** Switches gradients of all parameters. */
  requiresGrad_(value = true): this {
    for (const parameter of this.parameters()) parameter.requiresGrad_(value)
    return this
  }
  /** Drops the gradients of all parameters, or sets them to zero. */
  zeroGrad(options?: { readonly setToNone?: boolean }): void {
    const { setToNone = true } = checkOptions("zeroGrad", zeroChecks, options)
    for (const parameter of this.parameters()) {
      const { grad } = parameter
      // Rows that are zero are no rows.
      parameter.rowGradient = null
      if (setToNone) parameter.grad = null
      else if (grad) noGrad(() => (parameter.grad = grad.detach()).zero_())
    }
  }
  /** Calls `f` with every module, children first. Returns this. */
  apply(f: (module: Module) => void): this {
    if (typeof f !== "function") throw new ValueError(`apply: needs a function of a module, got ${typeof f}`)
    for (const child of this.children()) child.apply(f)
    f(this)
    return this
  }

  // ---- state

  /**
   * Parameters and persistent buffers by PyTorch's keys, in PyTorch's order. The tensors share memory with the module and
   * carry no gradients: clone them to keep a snapshot.
   *
   * @param prefix - Put before every key, dot included.
   */
  stateDict(prefix = ""): StateDict {
    const dict: StateDict = {}
    for (const [name, tensor] of this.#state(prefix)) dict[name] = tensor.detach()
    return dict
  }
  #state(prefix: string): [string, Tensor][] {
    const own: [string, Tensor][] = [...this.#parameters(), ...this.#ownBuffers(true)]
    const below = this.namedChildren().flatMap(([name, child]) => child.#state(`${prefix}${name}.`))
    return [...own.map(([name, tensor]): [string, Tensor] => [prefix + name, tensor]), ...below]
  }
  /**
   * Copies the values of `dict` into parameters and buffers; they keep their dtype and stay the same tensors.
   *
   * Throws a StateDictError that lists every missing and unexpected key (if `strict`) and every tensor of another shape or
   * kind of dtype, and a DeviceError if a tensor lies on another device; then nothing has changed.
   *
   * @param dict - What {@link stateDict} or a safetensors file gave.
   * @returns The keys that were missing, and those that nothing here is called by.
   */
  loadStateDict(
    dict: Readonly<Record<string, Tensor>> | ReadonlyMap<string, Tensor>,
    options?: LoadOptions,
  ): LoadResult {
    const { strict = true } = checkOptions("loadStateDict", loadChecks, options)
    return loadState(this.constructor.name, this.#state(""), dict, strict)
  }

  /**
   * Converts float parameters and buffers to a float dtype, at once; or copies everything to a device, awaited. Parameters
   * stay the same objects, with their gradients, so optimisers made before keep working. Once they have
   * taken a step, their own state stays on the old device: move first, or load their state anew.
   * Throws a DTypeError for a dtype that is not float; then nothing has changed.
   *
   * @example
   * ```ts
   * const net = await new Linear(2, 1).to(await device("auto"))
   * net.to("float64")
   * console.log(net.weight.dtype) // float64
   * ```
   */
  to(dtype: DType): this
  to(device: Device): Promise<this>
  to(target: DType | Device): this | Promise<this> {
    return target instanceof Device ? this.#toDevice(target) : this.#toDType(target)
  }
  #toDType(dtype: DType): this {
    checkDType("to", dtype)
    if (!isFloat(dtype)) throw new DTypeError(`to: a module's dtype must be a float dtype, got ${dtype}`)
    const moving = this.#everything().filter((x) => isFloat(x.dtype) && x.dtype !== dtype)
    return this.#settle(new Map(noGrad(() => moving.map((x) => [x, x.to(dtype)]))))
  }
  async #toDevice(device: Device): Promise<this> {
    const moved = new Map<Tensor, Tensor>()
    for (const x of this.#everything()) {
      if (x.device === device) continue
      // Given up at once: while it shows the old memory, that cannot be freed.
      const view = x.detach()
      moved.set(x, await view.to(device))
      view.dispose()
    }
    return this.#settle(moved)
  }
  /**
   * Takes memory on a device for parameters and buffers without reading what they hold: PyTorch's `to_empty`. Their values are
   * undefined until they are loaded, and gradients are dropped; parameters stay the same objects. This is how a model
   * leaves a device that is lost: see `checkpointToHost`.
   *
   * Throws a DTypeError or an OutOfMemoryError if the device cannot hold them; then nothing has changed.
   *
   * @example
   * ```ts
   * const state = await saveSafetensors(new Linear(2, 1).stateDict())
   * const dev = new Device(new CpuJs())
   * const layer = new Linear(2, 1).toEmpty(dev)
   * layer.loadStateDict(await loadSafetensors(state, { device: dev }))
   * console.log(layer.weight.device === dev) // true
   * ```
   */
  toEmpty(device: Device): this {
    if (!(device instanceof Device)) throw new ValueError("toEmpty: needs a Device; open one with await device(…)")
    const own = [...this.parameters(), ...this.buffers()]
    const moved = new Map(own.map((x) => [x, empty(x.shape, { dtype: x.dtype, device })]))
    for (const parameter of this.parameters()) parameter.grad = parameter.rowGradient = null
    return this.#settle(moved)
  }
  /** Parameters, their gradients and buffers. */
  #everything(): Tensor[] {
    const parameters = this.parameters()
    const gradients = parameters.flatMap(({ grad, rowGradient: rows }) => [
      ...(grad ? [grad] : []),
      ...(rows ? [rows.indices, rows.values] : []),
    ])
    return [...parameters, ...gradients, ...this.buffers()]
  }
  /** Puts the copies in place: nothing here can fail, so a move happens wholly or not at all. */
  #settle(moved: ReadonlyMap<Tensor, Tensor>): this {
    for (const parameter of this.parameters()) {
      const data = moved.get(parameter)
      if (data) parameter.rehome(data)
      data?.dispose()
      if (parameter.grad) parameter.grad = moved.get(parameter.grad) ?? parameter.grad
      const rows = parameter.rowGradient
      if (rows) {
        const [indices, values] = [rows.indices, rows.values].map((x) => moved.get(x) ?? x)
        parameter.rowGradient = new RowGradient(rows.shape, indices, values)
      }
    }
    for (const module of this.modules()) {
      for (const [name, buffer] of module.#ownBuffers(false)) {
        Object.assign(module, { [name]: keep(moved.get(buffer) ?? buffer) })
      }
    }
    return this
  }
  /** As float32. */
  float(): this {
    return this.to("float32")
  }
  /** As float64. */
  double(): this {
    return this.to("float64")
  }

  /** The module and all below it as PyTorch prints them: `Linear(in_features=2, out_features=8, bias=True)`. */
  toString(): string {
    const extra = this.extraRepr()
    const lines = this.namedChildren().map(([name, child]) => `(${name}): ${indent(String(child))}`)
    if (lines.length === 0) return `${this.constructor.name}(${extra})`
    return `${this.constructor.name}(${[extra, ...lines].filter(Boolean).map((line) => `\n  ${line}`).join("")}\n)` // prettier-ignore
  }
}

/** Throws a ValueError unless `value` is null or one of `kind`. */
function mustBe(call: string, value: unknown, kind: abstract new (...args: never[]) => unknown): void {
  if (value !== null && value !== undefined && !(value instanceof kind))
    throw new ValueError(`${call}: needs a ${kind.name} or null, got ${typeof value}`)
}

const join = (prefix: string, name: string): string => (prefix === "" ? name : `${prefix}.${name}`)
const indent = (text: string): string => text.split("\n").join("\n  ")

function unique<T extends Tensor>(
  modules: readonly [string, Module][],
  members: (module: Module) => [string, T][],
): [string, T][] {
  const seen = new Map<T, string>()
  for (const [prefix, module] of modules) {
    for (const [name, value] of members(module)) if (!seen.has(value)) seen.set(value, join(prefix, name))
  }
  return [...seen].map(([value, name]) => [name, value])
}
