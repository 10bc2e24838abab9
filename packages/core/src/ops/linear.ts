// The product with a bias that layers are made of. Rows that were looked up in a small table are multiplied there, once each.
import { isFloat, kernels, shapeText, ShapeError, sizeOf } from "@rondo/backend"
import { apply, execute, type OpInfo, output, type Placed } from "../apply.js"
import { mode, type Node, reaches, type Rule, type Saved, seenBetween } from "../graph.js"
import { op } from "../op.js"
import { type Origin, originOf, originRows } from "../origin.js"
import { t } from "../samples.js"
import type { Tensor } from "../tensor.js"
import { add } from "./arithmetic.js"
import { selected, target } from "./geometry.js"
import { where } from "./logic.js"
import { addedRows, gatherRows } from "./lookup.js"
import { reshape } from "./movement.js"
import { checkDTypes, product, stretchedView, turned } from "./product.js"
import { any, sum } from "./reduce.js"

/** `x @ weight^T + bias`, in one kernel. x [..., I], weight [O, I], bias [O]. */
export const linear = op(
  {
    family: "linalg",
    name: "linear",
    takes: { x: "tensor", weight: "tensor", bias: "tensor|null?" },
    doc: "x [..., I] times the transpose of weight [O, I], plus bias [O].",
    samples: [
      [t(2, 3), t(4, 3), t(4)],
      [t(2, 5, 3), t(4, 3)],
      [t(3), t(4, 3), t(4)],
      [t(0, 3), t(4, 3), t(4)],
    ],
    differentiable: true,
  },
  (x: Tensor, weight: Tensor, bias: Tensor | null = null): Tensor => {
    checkDTypes("linear", x, weight, ...(bias ? [bias] : []))
    const inputs = x.shape[x.ndim - 1]
    if (x.ndim === 0 || weight.ndim !== 2 || weight.shape[1] !== inputs) {
      throw new ShapeError(
        `linear: x ${shapeText(x.shape)} needs a weight [out, ${inputs ?? "in"}], got ${shapeText(weight.shape)}`,
      )
    }
    if (bias && (bias.ndim !== 1 || bias.shape[0] !== weight.shape[0])) {
      throw new ShapeError(`linear: bias must be [${weight.shape[0]}], got ${shapeText(bias.shape)}`)
    }
    const origin = originOf(x)
    if (origin) return throughTable(x, weight, bias, origin)
    if (bias && inputs > 0 && isFloat(x.dtype) && (x.ndim === 2 || x.isContiguous())) return withBias(x, weight, bias)
    if (x.ndim === 2) return linearRows(x, weight, bias)
    const rows = sizeOf(x.shape.slice(0, -1))
    return reshape(linearRows(reshape(x, rows, inputs), weight, bias), [...x.shape.slice(0, -1), weight.shape[0]])
  },
)

function linearRows(x: Tensor, weight: Tensor, bias: Tensor | null): Tensor {
  if (bias && x.shape[1] > 0 && isFloat(x.dtype)) return withBias(x, weight, bias)
  const out = product("linear", x, weight, false, true)
  return bias ? add(out, bias) : out
}

/** All rows as one matrix. */
const rowsOf = (x: Tensor): Tensor => (x.ndim === 2 ? x : reshape(x, sizeOf(x.shape.slice(0, -1)), x.shape[x.ndim - 1]))

const linearRule: Rule = ([given], s) => {
  if (!given) return []
  const [before] = s.shapes
  const g = rowsOf(given)
  return [
    s.needs[0] ? shapedAs(product("linear", g, s.y), before) : null,
    s.needs[1] ? product("linear", g, rowsOf(s.x), true) : null,
    s.needs[2] ? sum(g, 0) : null,
  ]
}
const linearInfo: OpInfo = { name: "linear", keep: ["x", "y"], keepFor: [["y"], ["x"], []], vjp: linearRule }

const shapedAs = (rows: Tensor, shape: readonly number[]): Tensor => (shape.length === 2 ? rows : reshape(rows, shape))

/** x [..., I] is a matrix, or lies in row-major order. */
function withBias(x: Tensor, weight: Tensor, bias: Tensor): Tensor {
  const [out] = apply(linearInfo, [x, weight, bias], (device) => {
    const result = output(device, [...x.shape.slice(0, -1), weight.shape[0]], x.dtype)
    if (sizeOf(result.shape) > 0) multiplyInto(result, x, weight, bias)
    return [result]
  })
  return out
}

/** All rows as one matrix, for a kernel. */
function matrix(x: Tensor): Placed {
  if (x.ndim === 2) return x
  const width = x.shape[x.ndim - 1]
  return target(x, { shape: [sizeOf(x.shape) / width, width], strides: [width, 1], offset: x.offset })
}

/** `x @ weight^T + bias`, unrecorded. */
function multiplyInto(out: Tensor, x: Tensor, weight: Tensor, bias: Tensor): void {
  const to = matrix(out)
  execute(kernels.matmulBias, [matrix(x), turned(weight), stretchedView(bias, to.shape)], [to])
}

// ---- rows of a table

/**
 * `linear` of rows that came from a table: the table's products, gathered. Its gradients add up by rows of the table first. That of
 * the table takes the place of that of `x`, unless somebody looks at the latter.
 */
function throughTable(x: Tensor, weight: Tensor, bias: Tensor | null, origin: Origin): Tensor {
  const { table, node } = origin
  // The table is an operand of its own only if gradients of x would reach it.
  const direct = node !== null && x.gradFn !== null && reaches(x.gradFn, node)
  const operands = [x, weight, ...(bias ? [bias] : []), ...(direct ? [table] : [])]
  const info = bias ? (direct ? tableInfos.both : tableInfos.bias) : direct ? tableInfos.direct : tableInfos.plain
  const [out] = apply(info, operands, (device) => {
    const all = bias
      ? output(device, [table.shape[0], weight.shape[0]], x.dtype)
      : product("linear", table, weight, false, true)
    if (bias && sizeOf(all.shape) > 0) multiplyInto(all, table, weight, bias)
    return [reshape(gatherRows(all, originRows(x, origin)), [...x.shape.slice(0, -1), weight.shape[0]])]
  })
  return out
}

const tableRule =
  (hasBias: boolean, direct: boolean): Rule =>
  ([given], s) => {
    if (!given) return []
    const { needs } = s
    const last = hasBias ? 3 : 2
    const x = needs[1] ? s.x : null
    const g = rowsOf(given)
    // What is recorded again, or was changed since, goes the way that all other rows go.
    const origin = x && !mode.record ? originOf(x) : null
    const whole = (weight: Tensor): Tensor => shapedAs(product("linear", g, weight), s.shapes[0])
    if (!x || !origin) {
      return [
        needs[0] ? whole(s.y) : null,
        x ? product("linear", g, rowsOf(x), true) : null,
        hasBias && needs[2] ? sum(g, 0) : null,
      ]
    }
    const { table, node } = origin
    // Found again rather than saved: a scope around the forward may have ended.
    const sums = addedRows([table.shape[0], g.shape[1]], 0, originRows(x, origin), g)
    const short = direct && needs[last] && !seenBetween(x.gradFn as Node, node as Node, s.captures)
    const gradients = [
      needs[0] && !short ? whole(s.y) : null,
      product("linear", sums, reached(table, sums), true),
      ...(hasBias ? [needs[2] ? sum(sums, 0) : null] : []),
    ]
    return short ? [...gradients, tableGradient(sums, s, origin)] : gradients
  }

/** The table with zeros in rows that no gradient came to: zero times what lies there is not zero if that is NaN. */
const reached = (table: Tensor, sums: Tensor): Tensor => where(any(sums, 1, { keepdim: true }), table, 0)

/** The gradient of the table from that of its products. */
function tableGradient(sums: Tensor, s: Saved, { padding }: Origin): Tensor {
  const gradient = product("linear", sums, s.y)
  if (padding !== null)
    execute(kernels.fill(gradient.dtype), [], [target(gradient, selected(gradient, 0, padding))], [0])
  return gradient
}

const tableInfo = (hasBias: boolean, direct: boolean): OpInfo => ({
  name: "linear",
  keep: ["x", "y"],
  keepFor: [["y"], ["x"], [], ["y"]],
  vjp: tableRule(hasBias, direct),
})
const tableInfos = {
  plain: tableInfo(false, false),
  bias: tableInfo(true, false),
  direct: tableInfo(false, true),
  both: tableInfo(true, true),
}
