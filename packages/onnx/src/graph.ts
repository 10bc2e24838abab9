// What a custom module says to be exported: the operations of a graph, each one or a few nodes. Layers are layers.ts's.
import { DTypeError, ShapeError, ValueError } from "@rondo/backend"
import type { GRU, GRUCell, LSTM, LSTMCell, Module, RNN, RNNCell } from "@rondo/nn"
import { convertLayer } from "./layers.js"
import { dataTypes, type Dim } from "./proto.js"
import { Recorder, type Value } from "./recorder.js"
import { agree, broadcastDims, dimsText, productOf, readAxis } from "./shape.js"

/** Results of a module: a value, or values nested as `forward` nests its tensors. */
export type Outputs = Value | readonly Outputs[]

/** A module that says itself what it is in ONNX, as {@link exportOnnx} shows. */
export interface OnnxModule<A extends readonly unknown[] = never[], R extends Outputs = Outputs> {
  onnx(g: Graph, ...inputs: A): R
}

/** Options of recurrent layers within a graph. */
export interface SequenceCall {
  /**
   * int32 or int64 `[B]`: how many steps of each sequence count. Outputs after them are 0, final states are those at the
   * end of each: what packed sequences give.
   */
  readonly lengths?: Value | null
}

/** A size that is known, or the axis of the input from which it is taken at run time. */
type Size = number | { readonly axis: number }

/**
 * Builds the graph of a model. Its methods take and give {@link Value}s and check shapes as far as they are known.
 *
 * @example
 * ```ts
 * import { exportOnnx } from "@rondo/onnx"
 *
 * const lstm = new LSTM(3, 4, { batchFirst: true, bidirectional: true })
 * const file = await exportOnnx(lstm, {
 *   inputs: [
 *     { name: "x", shape: [2, 5, 3], dynamicAxes: { 0: "batch", 1: "time" } },
 *     { name: "lengths", shape: [2], dynamicAxes: { 0: "batch" }, dtype: "int64" },
 *   ],
 *   graph: (g, x, lengths) => {
 *     const [output, [hn]] = g.layer(lstm, x, null, { lengths })
 *     return [g.tanh(output), g.select(hn, 0, -1)]
 *   },
 * })
 * console.log(file[0]) // 8
 * ```
 */
export class Graph extends Recorder {
  /**
   * Exports a layer, a Sequential or a module with a method `onnx`, and gives what its `forward` gives. Throws a
   * ValueError for a module that is none of these.
   */
  layer(module: LSTM, x: Value, state?: readonly [h0: Value, c0: Value] | null, options?: SequenceCall): [output: Value, state: [hn: Value, cn: Value]] // prettier-ignore
  layer(module: RNN | GRU, x: Value, h0?: Value | null, options?: SequenceCall): [output: Value, hn: Value]
  layer(module: LSTMCell, x: Value, state?: readonly [h: Value, c: Value] | null): [h: Value, c: Value]
  layer(module: RNNCell | GRUCell, x: Value, h?: Value | null): Value
  layer<A extends readonly unknown[], R extends Outputs>(module: Module & OnnxModule<A, R>, ...inputs: A): R
  layer(module: Module, ...inputs: Value[]): Value
  layer(module: Module, ...inputs: unknown[]): Outputs {
    return this.within(module, () => convertLayer(this, module, inputs))
  }

  // ---- arithmetic

  #binary(op: string, a: Value, b: Value | number): Value {
    const other = typeof b === "number" ? this.constant(b) : b
    if (a.dtype !== other.dtype) throw new DTypeError(`${op}: dtypes differ: got ${a} and ${other}`)
    return this.node(op, [a, other], [{ dtype: a.dtype, shape: broadcastDims(op, a.shape, other.shape) }])[0]
  }
  /** a + b, broadcast. */
  add(a: Value, b: Value | number): Value {
    return this.#binary("Add", a, b)
  }
  /** a - b, broadcast. */
  sub(a: Value, b: Value | number): Value {
    return this.#binary("Sub", a, b)
  }
  /** a * b, broadcast. */
  mul(a: Value, b: Value | number): Value {
    return this.#binary("Mul", a, b)
  }
  /** a / b, broadcast. */
  div(a: Value, b: Value | number): Value {
    return this.#binary("Div", a, b)
  }
  /** A node that keeps dtype and shape. */
  unary(op: string, x: Value, attributes: Parameters<Recorder["node"]>[3] = {}): Value {
    return this.node(op, [x], [x], attributes)[0]
  }
  /** The same elements in another dtype. */
  cast(x: Value, dtype: "float32" | "int32" | "int64"): Value {
    return this.node("Cast", [x], [{ dtype, shape: x.shape }], { to: dataTypes[dtype] })[0]
  }
  /** Hyperbolic tangent of each element. */
  tanh(x: Value): Value {
    return this.unary("Tanh", x)
  }
  /** 1 / (1 + exp(-x)) of each element. */
  sigmoid(x: Value): Value {
    return this.unary("Sigmoid", x)
  }
  /** max(x, 0) of each element. */
  relu(x: Value): Value {
    return this.unary("Relu", x)
  }
  /** Softmax along `dim`. */
  softmax(x: Value, dim: number): Value {
    return this.unary("Softmax", x, { axis: readAxis("softmax", dim, x.shape.length) })
  }
  /** Matrix product of the last two dims `[..., n, m] x [..., m, p]`, batched over the others; of at least two dims each. */
  matmul(a: Value, b: Value): Value {
    const [n, m, k, p] = [...a.shape.slice(-2), ...b.shape.slice(-2)]
    if (a.shape.length < 2 || b.shape.length < 2 || !agree(m, k)) {
      throw new ShapeError(`matmul: inner dimensions differ: ${dimsText(a.shape)} x ${dimsText(b.shape)}`)
    }
    const batch = broadcastDims("matmul", a.shape.slice(0, -2), b.shape.slice(0, -2))
    return this.node("MatMul", [a, b], [{ dtype: a.dtype, shape: [...batch, n, p] }])[0]
  }

  // ---- parts

  /** The part at `index` of `dim`, without that dim; negative counts from the end. The last step is `select(y, 1, -1)`. */
  select(x: Value, dim: number, index: number): Value {
    const axis = readAxis("select", dim, x.shape.length)
    const size = x.shape[axis]
    if (!Number.isInteger(index) || (typeof size === "number" && (index < -size || index >= size))) {
      throw new ValueError(`select: index out of range: got ${index} for dim ${dim} of ${dimsText(x.shape)}`)
    }
    const shape = x.shape.toSpliced(axis, 1)
    return this.node("Gather", [x, this.constant(index, "int64")], [{ dtype: x.dtype, shape }], { axis })[0]
  }
  /** `length` parts of `dim` from `start` on; negative counts from the end. */
  narrow(x: Value, dim: number, start: number, length: number): Value {
    const axis = readAxis("narrow", dim, x.shape.length)
    const size = x.shape[axis]
    const from = typeof size === "number" && start < 0 ? start + size : start
    const whole = Number.isInteger(start) && Number.isInteger(length) && length >= 0
    if (!whole || (typeof size === "number" && (from < 0 || from + length > size))) {
      throw new ValueError(`narrow: range outside: got start ${start}, length ${length} for dim ${dim} of ${dimsText(x.shape)}`) // prettier-ignore
    }
    // Counted from the end of a dynamic axis, the last part has no end that could be written as a number but the largest.
    const end = from < 0 && from + length >= 0 ? Number.MAX_SAFE_INTEGER : from + length
    const limits = [from, end, axis].map((value) => this.constant([value], "int64"))
    return this.node("Slice", [x, ...limits], [{ dtype: x.dtype, shape: x.shape.with(axis, length) }])[0]
  }
  /** `count` equal parts along `dim`. Throws a ShapeError for a size that is not known or does not divide. */
  chunk(x: Value, count: number, dim: number): Value[] {
    const axis = readAxis("chunk", dim, x.shape.length)
    const size = x.shape[axis]
    if (typeof size !== "number" || size % count !== 0) {
      throw new ShapeError(`chunk: dim ${dim} of ${dimsText(x.shape)} does not divide by ${count}`)
    }
    if (count === 1) return [x]
    const part = size / count
    const type = { dtype: x.dtype, shape: x.shape.with(axis, part) }
    const sizes = this.constant(Array<number>(count).fill(part), "int64")
    return this.node("Split", [x, sizes], Array(count).fill(type), { axis })
  }
  /** Joins values along `dim`. */
  concat(values: readonly Value[], dim = 0): Value {
    const [first] = values
    if (!first) throw new ValueError("concat: got no values")
    const axis = readAxis("concat", dim, first.shape.length)
    for (const { shape } of values) {
      if (shape.length === first.shape.length && shape.every((size, d) => d === axis || agree(size, first.shape[d]))) continue // prettier-ignore
      throw new ShapeError(`concat: shapes differ beside dim ${dim}: ${dimsText(first.shape)} and ${dimsText(shape)}`)
    }
    if (values.length === 1) return first
    const sizes = values.map(({ shape }) => shape[axis])
    const joined = sizes.reduce<Dim>((sum, size) => (typeof sum === "number" && typeof size === "number" ? sum + size : null), 0) // prettier-ignore
    return this.node("Concat", values, [{ dtype: first.dtype, shape: first.shape.with(axis, joined) }], { axis })[0]
  }

  // ---- layouts

  /** Swaps two dims. */
  transpose(x: Value, dim0: number, dim1: number): Value {
    const [a, b] = [dim0, dim1].map((dim) => readAxis("transpose", dim, x.shape.length))
    const order = x.shape.map((_, d) => (d === a ? b : d === b ? a : d))
    return this.node("Transpose", [x], [{ dtype: x.dtype, shape: order.map((d) => x.shape[d]) }], { perm: order })[0]
  }
  /** Adds a dim of size 1. */
  unsqueeze(x: Value, dim: number): Value {
    const axis = readAxis("unsqueeze", dim, x.shape.length + 1)
    const shape = x.shape.toSpliced(axis, 0, 1)
    return this.node("Unsqueeze", [x, this.constant([axis], "int64")], [{ dtype: x.dtype, shape }])[0]
  }
  /** Drops a dim of size 1. */
  squeeze(x: Value, dim: number): Value {
    const axis = readAxis("squeeze", dim, x.shape.length)
    if (!agree(x.shape[axis], 1)) throw new ShapeError(`squeeze: dim ${dim} of ${dimsText(x.shape)} is not 1`)
    const shape = x.shape.toSpliced(axis, 1)
    return this.node("Squeeze", [x, this.constant([axis], "int64")], [{ dtype: x.dtype, shape }])[0]
  }
  /**
   * Other sizes for the same elements. One size may be -1; the name of a dynamic axis of x takes that axis' size:
   * `reshape(x, ["batch", -1])`. Throws a ShapeError if the number of elements is known and differs.
   */
  reshape(x: Value, shape: readonly (number | string)[]): Value {
    return this.resize(
      x,
      shape.map((size) => {
        if (typeof size === "number") return size
        const axis = x.shape.indexOf(size)
        if (axis >= 0) return { axis }
        throw new ShapeError(`reshape: ${dimsText(x.shape)} has no axis called "${size}"`)
      }),
    )
  }
  /** Joins dims `startDim` to `endDim` (both included) into one; by default all but the first. */
  flatten(x: Value, startDim = 1, endDim = -1): Value {
    const rank = Math.max(x.shape.length, 1)
    const [from, to] = [startDim, endDim].map((dim) => readAxis("flatten", dim, rank))
    if (from > to) throw new ValueError(`flatten: startDim comes after endDim: got ${startDim} and ${endDim}`)
    const kept = (d: number): Size => (typeof x.shape[d] === "number" ? (x.shape[d] as number) : { axis: d })
    const joined = productOf(x.shape.slice(from, to + 1)) ?? -1
    const dims = x.shape.map((_, d) => d)
    return this.resize(x, [...dims.slice(0, from).map(kept), joined, ...dims.slice(to + 1).map(kept)])
  }
  /** As {@link reshape}, with dynamic sizes by their axes. */
  protected resize(x: Value, sizes: readonly Size[]): Value {
    const fixed = sizes.filter((size) => typeof size === "number")
    const open = fixed.filter((size) => size === -1).length
    if (open > 1 || fixed.some((size) => !Number.isInteger(size) || size === 0 || size < -1)) {
      throw new ShapeError(`reshape: sizes must be at least 1, or -1 once: got [${fixed.join(", ")}]`)
    }
    const axes = new Set(sizes.flatMap((size) => (typeof size === "number" ? [] : [size.axis])))
    const rest = productOf(x.shape.filter((_, d) => !axes.has(d)))
    const product = fixed.reduce((all, size) => all * Math.abs(size), 1)
    if (rest !== null && (open > 0 ? rest % product !== 0 : rest !== product)) {
      throw new ShapeError(`reshape: ${dimsText(x.shape)} does not fit: got sizes [${fixed.join(", ")}]`)
    }
    const shape = sizes.map((size) => typeof size !== "number" ? x.shape[size.axis] : size !== -1 ? size : rest === null ? null : rest / product) // prettier-ignore
    return this.node("Reshape", [x, this.#sizes(x, sizes)], [{ dtype: x.dtype, shape }])[0]
  }
  // In Reshape, 0 stands for the size of the same axis of the input; sizes of other axes are read when the model runs.
  #sizes(x: Value, sizes: readonly Size[]): Value {
    const plain = sizes.map((size, d) => (typeof size === "number" ? size : size.axis === d ? 0 : null))
    if (!plain.includes(null)) return this.constant(plain as number[], "int64")
    const pieces = sizes.map((size) => {
      if (typeof size === "number") return this.constant([size], "int64")
      return this.node("Shape", [x], [{ dtype: "int64", shape: [1] }], { start: size.axis, end: size.axis + 1 })[0]
    })
    return this.concat(pieces)
  }
}
