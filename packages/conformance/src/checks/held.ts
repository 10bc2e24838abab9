// Cases of the leaks check: a recorded operation holds alive what its gradient reads, and nothing else.
import { RondoError, type Storage } from "@rondo/backend"
import { type Device, type Node, Tensor } from "@rondo/core"
import { type Call, opCalls, place, synchronousNames } from "../calls.js"
import { hold } from "../compare.js"
import type { Case, Context } from "../suite.js"
import { ungrouped, Watch } from "../watch.js"

/** One call whose graph alone is left: which memory it may hold, and what its operands and steps between used. */
interface Left {
  readonly label: string
  readonly nodes: readonly Node[]
  readonly operands: readonly WeakRef<Storage>[]
  readonly watch: Watch
}

/** All nodes of the graphs that end in these. */
function reached(nodes: readonly Node[]): Set<Node> {
  const found = new Set(nodes)
  for (const node of found) for (const edge of node.edges) if (edge) found.add(edge.node)
  return found
}

/** The memory that gradients read, and that of the leaves that they go to. */
function allowed(nodes: readonly Node[]): Set<Storage> {
  const found = new Set<Storage>()
  for (const node of reached(nodes)) {
    for (const x of node.saved?.held ?? []) found.add(x.storage)
    if ("leaf" in node && node.leaf instanceof Tensor) found.add(node.leaf.storage)
  }
  return found
}

// A function of its own, so that neither operands nor results stay behind on the stack. Leaves are held by the nodes that
// collect their gradients: the operands are copies of them.
function recorded(call: Call, device: Device): Left {
  const leaves = place(call, device, "float32", true)
  const tensors = leaves.map((x) => x.clone())
  const watch = new Watch()
  watch.start()
  let nodes: readonly Node[] = []
  try {
    nodes = call.run(tensors).flatMap(({ gradFn }) => (gradFn ? [gradFn] : []))
  } catch (error) {
    // An operation that refuses floats must leave nothing behind either.
    if (!(error instanceof RondoError)) throw error
  } finally {
    watch.stop()
  }
  return { label: call.label, nodes, operands: tensors.map((x) => new WeakRef(x.storage)), watch }
}

function surplus({ nodes, operands, watch }: Left): string[] {
  const may = allowed(nodes)
  const extra = (ref: WeakRef<Storage>): boolean => {
    const storage = ref.deref()
    return storage !== undefined && !may.has(storage)
  }
  const named = operands.flatMap((ref, i) => (extra(ref) ? [`operand ${i}`] : []))
  const between = watch.refs.filter(extra).length
  return between > 0 ? [...named, `${between} results of its steps`] : named
}

/** One case an operation. All of them share the collections, which take longer than the calls. */
export function heldCases(context: Context, settle: (done: () => boolean) => Promise<void>): Case[] {
  const names = synchronousNames()
  let calls: Promise<Map<string, readonly Left[]>> | null = null
  const everything = async (): Promise<Map<string, readonly Left[]>> => {
    const made = new Map(names.map((name) => [name, opCalls(name).map((call) => recorded(call, context.device))]))
    await settle(() => [...made.values()].flat().every((left) => surplus(left).length === 0))
    return made
  }
  return names.map((name) => {
    const run = async (): Promise<void> => {
      const lefts = (await (calls ??= ungrouped(everything))).get(name) ?? []
      for (const left of lefts) {
        const extra = surplus(left)
        hold(extra.length === 0, `${left.label}: its graph holds ${extra.join(", ")} beside what the gradient reads`)
      }
    }
    return { id: "its graph holds what the gradient reads alone", op: name, dtype: "float32", run }
  })
}
