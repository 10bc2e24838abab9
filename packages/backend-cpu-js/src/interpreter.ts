// Evaluates expressions over blocks of elements: each operator is one tight loop over typed arrays. Knows no kernel.
import {
  DTypeError,
  type DType,
  type Expr,
  type HostArray,
  hostArray,
  isContiguous,
  type Kernel,
  type Operator,
  program,
  type Program,
  type ProgramNode,
  type View,
} from "@rondo/backend"
import { castLoop, element, fillRegister, loadLoop, roundLoop } from "./loops/cast.js"
import { floatBinary, floatUnaryLoops, floatWhere } from "./loops/float.js"
import { float32Loops } from "./loops/float32.js"
import { boolBinary, intBinary, intUnaryLoops, intWhere } from "./loops/int.js"
import { int64Binary, int64UnaryLoops, int64Where } from "./loops/int64.js"
import { family, isHalf, type Loop, type StridedCopy } from "./loops/loop.js"
import { elements } from "./storage.js"
import { copyLoop, Cursor, gatherBlock } from "./strided.js"

/** Elements a register holds: a dozen float32 registers fit the first-level cache. */
export const blockSize = 1024

interface Instruction {
  readonly loop: Loop
  /** Nodes: the result and up to three operands (unused ones repeat the first). */
  readonly to: number
  readonly a: number
  readonly b: number
  readonly c: number
}

interface Load {
  readonly node: number
  readonly source: HostArray
  readonly copy: StridedCopy
  readonly cursor: Cursor
  /** Converts the 16-bit floats that lie in memory. */
  readonly convert: Loop | null
}

// Kernels run one after another, so all plans share one set of registers.
const pools = new Map<string, HostArray[]>()
const registerKind = (dtype: DType): DType => (isHalf(dtype) ? "float32" : dtype === "bool" ? "uint8" : dtype)
const bits = new Uint16Array(blockSize)

function register(dtype: DType, slot: number): HostArray {
  const kind = registerKind(dtype)
  let pool = pools.get(kind)
  if (!pool) pools.set(kind, (pool = []))
  return (pool[slot] ??= hostArray(kind, blockSize))
}

/** The loop of an operator on operands of `from`. */
function operatorLoop(op: Operator, from: DType): Loop {
  const tables = from === "bool" ? boolTables : familyTables[family(from)]
  if (op in float32Loops && from !== "float64") return float32Loops[op as "exp"]
  const found = op === "where" ? tables.where : (tables.unary[op] ?? tables.binary(op as never))
  if (!found) throw new DTypeError(`map: operator ${op} is not defined for ${from}`)
  return found
}

interface Tables {
  readonly unary: Partial<Record<Operator, Loop>>
  readonly binary: (op: never) => Loop | undefined
  readonly where: Loop
}
const boolTables: Tables = {
  unary: { not: intUnaryLoops.logicalNot },
  binary: boolBinary,
  where: intWhere as Loop,
}
const familyTables: Record<"float" | "int" | "int64", Tables> = {
  float: { unary: floatUnaryLoops, binary: floatBinary, where: floatWhere as Loop },
  int: {
    unary: { neg: intUnaryLoops.neg, abs: intUnaryLoops.abs, not: intUnaryLoops.not },
    binary: intBinary,
    where: intWhere as Loop,
  },
  int64: { unary: int64UnaryLoops, binary: int64Binary, where: int64Where as Loop },
}

/** Gives every node a register; those of operators are reused as soon as nothing reads them any more. */
function assignRegisters({ nodes, outputs }: Program): HostArray[] {
  const lastUse = nodes.map((_, at) => at)
  nodes.forEach((node, at) => "args" in node && node.args.forEach((arg) => (lastUse[arg] = at)))
  for (const at of outputs) lastUse[at] = nodes.length
  const next = new Map<DType, number>()
  const free = new Map<DType, number[]>()
  const slots: number[] = []
  return nodes.map((node, at) => {
    const kind = registerKind(node.dtype)
    if ("args" in node) {
      for (const arg of new Set(node.args)) {
        // Inputs and constants keep their registers: some are filled once for all blocks.
        if (lastUse[arg] !== at || !("args" in nodes[arg])) continue
        const argKind = registerKind(nodes[arg].dtype)
        free.set(argKind, [...(free.get(argKind) ?? []), slots[arg]])
      }
    }
    const reused = "args" in node ? free.get(kind)?.pop() : undefined
    if (reused === undefined) next.set(kind, (next.get(kind) ?? 0) + 1)
    slots[at] = reused ?? next.get(kind)! - 1
    return register(kind, slots[at])
  })
}

/** A compiled list of expressions. `bind` it to views, `evaluate` block by block, then `release` it. */
export class Plan {
  /** Node of each expression's value. */
  readonly outputs: readonly number[]
  readonly nodes: readonly ProgramNode[]
  readonly instructions: readonly Instruction[]
  /** Where node `k` has its values: from `arrays[k][base[k] + step[k] * start]` for the block at `start`. */
  readonly arrays: HostArray[]
  readonly base: number[]
  readonly step: number[]
  private readonly registers: readonly HostArray[]
  private readonly inputs: readonly { node: number; index: number; dtype: DType; lastRead: number }[]
  private readonly fixed: readonly number[]
  private readonly definedAt: readonly number[]
  /** Inputs that are outputs as they are, beside others: another output may be written over them, so they are loaded. */
  private readonly passed: ReadonlySet<number>
  private loads: Load[] = []
  private inPlace = true

  constructor(expressions: readonly Expr[]) {
    const compiled = program(expressions)
    const { nodes } = compiled
    const instructions: Instruction[] = []
    const lastRead = nodes.map(() => -1)
    const definedAt = nodes.map(() => -1)
    nodes.forEach((node, to) => {
      if (!("args" in node)) return
      const [a, b = a, c = a] = node.args as readonly number[]
      const loop = node.kind === "cast" ? castLoop(node.from, node.dtype) : operatorLoop(node.op, node.from)
      definedAt[to] = instructions.length
      for (const arg of node.args) lastRead[arg] = instructions.length
      instructions.push({ loop, to, a, b, c })
      if (isHalf(node.dtype)) instructions.push({ loop: roundLoop(node.dtype), to, a: to, b: to, c: to })
    })
    this.nodes = nodes
    this.outputs = compiled.outputs
    this.instructions = instructions
    this.registers = assignRegisters(compiled)
    this.definedAt = definedAt
    this.passed = new Set(
      compiled.outputs.length > 1 ? compiled.outputs.filter((at) => nodes[at].kind === "input") : [],
    )
    this.fixed = nodes.flatMap((node, at) => (node.kind === "const" || node.kind === "scalar" ? [at] : []))
    this.inputs = nodes.flatMap((node, at) =>
      node.kind === "input" ? [{ node: at, index: node.index, dtype: node.dtype, lastRead: lastRead[at] }] : [],
    )
    this.arrays = this.registers.slice()
    this.base = nodes.map(() => 0)
    this.step = nodes.map(() => 0)
  }

  /** Connects the inputs: contiguous ones are read where they lie, single values fill a register, others are loaded. */
  bind(views: readonly View[], scalars: readonly number[], size: number): void {
    const n = Math.min(size, blockSize)
    // A run that ended in an error may have left views behind.
    this.release()
    this.inPlace = this.fixed.length === 0
    for (const { node, index, dtype } of this.inputs) this.bindInput(node, dtype, views[index], n)
    for (const at of this.fixed) {
      const node = this.nodes[at]
      const value = node.kind === "const" ? node.value : scalars[(node as { index: number }).index]
      fillRegister(this.registers[at], element(node.dtype, value), n)
    }
  }

  private bindInput(node: number, dtype: DType, view: View, n: number): void {
    const source = elements(view)
    const half = isHalf(dtype)
    if (!half && !this.passed.has(node) && isContiguous(view.shape, view.strides)) {
      return this.place(node, source, view.offset)
    }
    this.inPlace = false
    const target = this.registers[node]
    if (view.strides.every((stride, d) => stride === 0 || view.shape[d] === 1)) {
      loadLoop(dtype)(1, target, 0, source, view.offset, source, 0, source, 0)
      fillRegister(target, target[0], n)
      return
    }
    const cursor = new Cursor(view.shape, view.strides, view.offset)
    this.loads.push({ node, source, copy: copyLoop(dtype), cursor, convert: half ? loadLoop(dtype) : null })
  }

  private place(node: number, array: HostArray, offset: number): void {
    this.arrays[node] = array
    this.base[node] = offset
    this.step[node] = 1
  }

  /**
   * Lets the instruction that computes expression `output` write straight into a contiguous view, if that is safe: no
   * later instruction may read an input from the same memory. Returns whether it is. Call after `bind`.
   */
  writeTo(output: number, view: View, views: readonly View[]): boolean {
    const node = this.outputs[output]
    if (this.definedAt[node] < 0 || this.step[node] !== 0) return false
    if (isHalf(view.dtype) || !isContiguous(view.shape, view.strides)) return false
    for (const { index, lastRead } of this.inputs) {
      if (views[index].storage === view.storage && lastRead > this.definedAt[node]) return false
    }
    this.place(node, elements(view), view.offset)
    return true
  }

  /** Elements to evaluate at once: everything, if `direct` outputs are all that is written and inputs need no register. */
  blockFor(size: number, direct: number): number {
    return this.inPlace && this.instructions.length === direct ? size : blockSize
  }

  /** Computes elements `start … start+n-1`. Blocks must be asked for in order. */
  evaluate(start: number, n: number): void {
    const { arrays, base, step } = this
    for (const { node, source, copy, cursor, convert } of this.loads) {
      if (convert === null) gatherBlock(copy, cursor, n, source, arrays[node])
      else {
        gatherBlock(copy, cursor, n, source, bits)
        convert(n, arrays[node], 0, bits, 0, bits, 0, bits, 0)
      }
    }
    for (const { loop, to, a, b, c } of this.instructions) {
      const ro = base[to] + step[to] * start
      const ao = base[a] + step[a] * start
      const bo = base[b] + step[b] * start
      loop(n, arrays[to], ro, arrays[a], ao, arrays[b], bo, arrays[c], base[c] + step[c] * start)
    }
  }

  /** Lets go of the memory of the views. */
  release(): void {
    this.loads = []
    for (let k = 0; k < this.arrays.length; k++) {
      this.arrays[k] = this.registers[k]
      this.base[k] = 0
      this.step[k] = 0
    }
  }
}

const byKernel = new WeakMap<Kernel, Plan>()
const byKey = new Map<string, Plan>()
const mostPlans = 4096

/** The plan of a kernel's expressions: compiled once for equal kernels, found by identity from then on. */
export function planOf(kernel: Kernel, expressions: readonly Expr[]): Plan {
  const known = byKernel.get(kernel)
  if (known) return known
  const { key } = program(expressions)
  let plan = byKey.get(key)
  if (!plan) {
    // Expressions with ever new constants must not fill the memory.
    if (byKey.size >= mostPlans) byKey.clear()
    byKey.set(key, (plan = new Plan(expressions)))
  }
  byKernel.set(kernel, plan)
  return plan
}
