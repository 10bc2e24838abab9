// Einstein's summation: the equation is read, each operand brought to one dim an index, and pairs are contracted by
// matmul.
import { DTypeError, shapeText, ShapeError, sizeOf, ValueError } from "@rondo/backend"
import { commonDevice } from "../apply.js"
import { op } from "../op.js"
import { t } from "../samples.js"
import type { Tensor } from "../tensor.js"
import { mul } from "./arithmetic.js"
import { matmul } from "./linalg.js"
import { diagonal, expand, permute, reshape, squeeze } from "./movement.js"
import { sum } from "./reduce.js"

/** A tensor whose dims have names: a letter, or `.0`, `.1`, … for those under an ellipsis, counted to end together. */
interface Named {
  readonly x: Tensor
  readonly labels: readonly string[]
}

interface Equation {
  readonly operands: readonly Named[]
  readonly output: readonly string[]
}

/** `i...j` as letters and the ellipsis. Throws a ValueError for anything else. */
function readTerm(term: string, what: string): string[] {
  const parts = term.match(/\.\.\.|[a-zA-Z]|./g) ?? []
  const bad = parts.find((part) => part !== "..." && !/^[a-zA-Z]$/.test(part))
  if (bad !== undefined) throw new ValueError(`einsum: ${what}: got "${bad}", expected letters and one "..."`)
  if (parts.filter((part) => part === "...").length > 1)
    throw new ValueError(`einsum: ${what}: more than one "..." in "${term}"`)
  return parts
}

function readEquation(equation: string, tensors: readonly Tensor[]): Equation {
  if (typeof equation !== "string")
    throw new ValueError(`einsum: the equation must be a string, got ${typeof equation}`)
  const [left, right, ...more] = equation.replaceAll(" ", "").split("->")
  if (more.length > 0) throw new ValueError(`einsum: more than one "->" in "${equation}"`)
  const terms = left.split(",").map((term, i) => readTerm(term, `operand ${i}`))
  if (terms.length !== tensors.length) {
    throw new ValueError(`einsum: "${equation}" names ${terms.length} operands, got ${tensors.length} tensors`)
  }
  const covered = terms.map((term, i) => coveredDims(term, tensors[i], i))
  const rank = Math.max(0, ...covered)
  const operands = terms.map((term, i) => ({ x: tensors[i], labels: named(term, rank, covered[i]) }))
  const output = right === undefined ? implicitOutput(operands, rank) : explicitOutput(right, operands, rank, equation)
  return { operands, output }
}

/** How many dims the ellipsis of a term stands for. */
function coveredDims(term: readonly string[], x: Tensor, i: number): number {
  const letters = term.filter((part) => part !== "...").length
  const open = letters < term.length
  if (x.ndim === letters || (open && x.ndim > letters)) return x.ndim - letters
  const expected = open ? `at least ${letters}` : `${letters}`
  throw new ShapeError(
    `einsum: operand ${i} ("${term.join("")}") has the shape ${shapeText(x.shape)}, expected ${expected} dims`,
  )
}

const named = (term: readonly string[], rank: number, covered: number): string[] =>
  term.flatMap((part) =>
    part === "..." ? Array.from({ length: covered }, (_, k) => `.${rank - covered + k}`) : [part],
  )

/** The ellipsis, then in order all letters that stand once (capitals first). */
function implicitOutput(operands: readonly Named[], rank: number): string[] {
  const all = operands.flatMap(({ labels }) => labels).filter((label) => !label.startsWith("."))
  const single = all.filter((label) => all.indexOf(label) === all.lastIndexOf(label)).sort()
  return [...Array.from({ length: rank }, (_, k) => `.${k}`), ...single]
}

function explicitOutput(right: string, operands: readonly Named[], rank: number, equation: string): string[] {
  const output = named(readTerm(right, "output"), rank, rank)
  const known = new Set(operands.flatMap(({ labels }) => labels))
  for (const label of output) {
    if (output.indexOf(label) !== output.lastIndexOf(label))
      throw new ValueError(`einsum: index "${label}" stands twice in the output of "${equation}"`)
    if (!known.has(label))
      throw new ValueError(`einsum: index "${label}" of the output is in no operand of "${equation}"`)
  }
  return output
}

/** Throws a ShapeError unless every index has one size; 1 gives way to any other. */
function checkSizes(operands: readonly Named[]): void {
  const sizes = new Map<string, { size: number; operand: number }>()
  operands.forEach(({ x, labels }, operand) => {
    const own = new Map<string, number>()
    labels.forEach((label, d) => {
      const size = x.shape[d]
      const before = own.get(label)
      if (before !== undefined && before !== size) {
        throw new ShapeError(
          `einsum: index "${label}" is repeated in operand ${operand} with sizes ${before} and ${size}`,
        )
      }
      own.set(label, size)
      const found = sizes.get(label)
      if (!found || found.size === 1) sizes.set(label, { size, operand })
      else if (size !== 1 && size !== found.size) {
        const name = label.startsWith(".") ? "..." : label
        throw new ShapeError(
          `einsum: index "${name}" has size ${found.size} in operand ${found.operand} and ${size} in operand ${operand}`,
        )
      }
    })
  })
}

/** Indices that stand twice in one operand keep its diagonal. */
function withoutRepeats({ x, labels }: Named): Named {
  const second = labels.findIndex((label, d) => labels.indexOf(label) < d)
  if (second < 0) return { x, labels }
  const first = labels.indexOf(labels[second])
  const rest = labels.filter((_, d) => d !== first && d !== second)
  return withoutRepeats({ x: diagonal(x, 0, first, second), labels: [...rest, labels[second]] })
}

/** Sums over the indices that `keep` denies. */
function summed({ x, labels }: Named, keep: (label: string) => boolean): Named {
  const dims = labels.flatMap((label, d) => (keep(label) ? [] : [d]))
  return dims.length === 0 ? { x, labels } : { x: sum(x, dims), labels: labels.filter(keep) }
}

/** Dims in the given order; indices that the operand lacks become dims of size 1. */
function arranged({ x, labels }: Named, order: readonly string[]): Tensor {
  const present = order.filter((label) => labels.includes(label))
  const places = present.map((label) => labels.indexOf(label))
  const moved = places.every((d, i) => d === i) ? x : permute(x, places)
  if (present.length === order.length) return moved
  return reshape(
    moved,
    order.map((label) => (labels.includes(label) ? x.shape[labels.indexOf(label)] : 1)),
  )
}

const sizesOf = ({ x, labels }: Named, wanted: readonly string[]): number[] =>
  wanted.map((label) => x.shape[labels.indexOf(label)])

/** An index that is summed, and is of size 1 in one of the two, leaves both: the other is summed alone. */
function withoutStretched(a: Named, b: Named, needed: (label: string) => boolean): [Named, Named] {
  const thin = a.labels.filter((label) => {
    if (!b.labels.includes(label) || needed(label)) return false
    const [m, n] = [sizesOf(a, [label])[0], sizesOf(b, [label])[0]]
    return m !== n
  })
  if (thin.length === 0) return [a, b]
  const drop = (named: Named): Named => {
    const ones = thin.filter((label) => sizesOf(named, [label])[0] === 1)
    const slim = {
      x: squeeze(
        named.x,
        ones.map((label) => named.labels.indexOf(label)),
      ),
      labels: named.labels.filter((label) => !ones.includes(label)),
    }
    return summed(ones.length === 0 ? named : slim, (label) => !thin.includes(label))
  }
  return [drop(a), drop(b)]
}

/** Contracts two operands over the indices that nobody needs afterwards. */
function contracted(first: Named, second: Named, needed: (label: string) => boolean): Named {
  const [a, b] = withoutStretched(
    summed(first, (label) => needed(label) || second.labels.includes(label)),
    summed(second, (label) => needed(label) || first.labels.includes(label)),
    needed,
  )
  const shared = a.labels.filter((label) => b.labels.includes(label))
  const batch = shared.filter(needed)
  const inner = shared.filter((label) => !needed(label))
  const rows = a.labels.filter((label) => !shared.includes(label))
  const columns = b.labels.filter((label) => !shared.includes(label))
  const labels = [...batch, ...rows, ...columns]
  if (inner.length === 0) return { x: mul(arranged(a, labels), arranged(b, labels)), labels }
  const count = batch.map((label) => commonSize(a, b, label))
  const [m, k, n] = [sizesOf(a, rows), sizesOf(a, inner), sizesOf(b, columns)]
  const left = expand(arranged(a, [...batch, ...rows, ...inner]), [...count, ...m, ...k])
  const right = expand(arranged(b, [...batch, ...inner, ...columns]), [...count, ...k, ...n])
  const lead = batch.length === 0 ? [] : [sizeOf(count)]
  const product = matmul(
    reshape(left, [...lead, sizeOf(m), sizeOf(k)]),
    reshape(right, [...lead, sizeOf(k), sizeOf(n)]),
  )
  return { x: reshape(product, [...count, ...m, ...n]), labels }
}

function commonSize(a: Named, b: Named, label: string): number {
  const [m, n] = [sizesOf(a, [label])[0], sizesOf(b, [label])[0]]
  return m === 1 ? n : m
}

function checkDTypes(tensors: readonly Tensor[]): void {
  const other = tensors.find((x) => x.dtype !== tensors[0].dtype)
  if (other) {
    throw new DTypeError(`einsum: dtypes differ: ${tensors[0].dtype} and ${other.dtype}; convert one with .to(dtype)`)
  }
  if (tensors[0].dtype === "bool") throw new DTypeError('einsum: is not defined for bool; convert with .to("float32")')
}

/**
 * Sums of products, as the equation says: indices that are not in the output are summed. Without `->` the output is the
 * ellipsis and all indices that stand once, in alphabetical order. Throws a ValueError for a bad equation and a
 * ShapeError where sizes differ, naming the operand and the index.
 *
 * @example
 * ```ts
 * const [a, b] = [ones(4, 2, 3), ones(4, 3, 5)]
 * console.log(einsum("bij,bjk->bik", a, b).shape) // [4, 2, 5]
 * console.log(await einsum("ii", eye(3)).item()) // 3
 * console.log(einsum("...ij->...ji", a).shape) // [4, 3, 2]
 * ```
 */
export const einsum = op(
  {
    family: "linalg",
    name: "einsum",
    takes: { equation: "text", tensors: "...tensor" },
    doc: "Sums of products of any number of tensors, by an equation over their indices.",
    samples: [
      ["ij,jk->ik", t(2, 3), t(3, 4)],
      ["bij,bjk", t(2, 2, 3), t(2, 3, 2)],
      ["ii", t(3, 3)],
      ["iij->ji", t(2, 2, 3)],
      ["i,j->ij", t(2), t(3)],
      ["...ij,...jk->...ik", t(2, 1, 2, 3), t(4, 3, 2)],
      ["ij->", t(2, 3)],
      ["i j, k j l, i l -> i k", t(2, 3), t(4, 3, 2), t(2, 2)],
      ["bA,bA->b", t(2, 3), t(1, 3)],
      ["ij,jk->ik", t(2, 1), t(3, 4)],
      ["ij,j->i", t(2, 0), t(0)],
      [",i->i", t(), t(3)],
    ],
    differentiable: true,
    method: false,
  },
  (equation: string, ...tensors: Tensor[]): Tensor => {
    if (tensors.length === 0) throw new ValueError("einsum: needs at least one tensor, got none")
    commonDevice("einsum", tensors)
    checkDTypes(tensors)
    const { operands, output } = readEquation(equation, tensors)
    checkSizes(operands)
    const [head, ...tail] = operands.map(withoutRepeats)
    const total = tail.reduce<Named>((done, next, i) => {
      const later = tail.slice(i + 1)
      return contracted(
        done,
        next,
        (label) => output.includes(label) || later.some(({ labels }) => labels.includes(label)),
      )
    }, head)
    return arranged(
      summed(total, (label) => output.includes(label)),
      output,
    )
  },
)
