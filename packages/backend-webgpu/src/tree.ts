// The tree in which neighbouring threads of a workgroup join what they have found: one order for both of its forms, in workgroup
// memory with a barrier a level, or through the registers of a subgroup, which needs none. Knows nothing of what is joined.
//
// A thread joins the one that stands `h` behind it, for `h` from half of the threads down to 1. The pairs are the same wherever
// they meet, so that results do not depend on subgroups or on their size, bit for bit.

/** Who joins, and how. Places are among the threads of one result, which stand beside each other. */
export interface Tree {
  /** How many threads, a power of two, and the thread's place among them, as u32 expressions. */
  readonly threads: string
  readonly place: string
  /** Statements that put what the thread has into workgroup memory. */
  readonly put: string
  /** Statements that join what the thread at a place has put there. */
  readonly join: (place: string) => string
  /** Statements that join what a register `x` of the thread behind holds, which `behind(x)` stands for. */
  readonly joinBehind: (behind: (register: string) => string) => string
}

const inMemory = ({ place, put, join }: Tree, least: string): string => `
  for (; h >= ${least}; h /= 2u) {
    workgroupBarrier();
    if (${place} < h) {
      ${join(`(${place} + h)`)}
      ${put}
    }
  }`

/** The statements, after which the first thread has everything. With subgroups the entry point has `subgroupBuiltin`. */
export function treeSource(tree: Tree, subgroups: boolean): string {
  const { threads, put, joinBehind } = tree
  if (!subgroups) {
    return `
  var h = ${threads} / 2u;
  ${put}${inMemory(tree, "1u")}`
  }
  // Threads beyond those that count join what nobody looks at: all of them must take part.
  return `
  var h = ${threads} / 2u;
  if (h >= lanes) { ${put} }${inMemory(tree, "lanes")}
  for (; h > 0u; h /= 2u) {
    ${joinBehind((register) => `subgroupShuffleDown(${register}, h)`)}
  }`
}

/** The parameter of entry points by which trees know how many threads a subgroup has. */
export const subgroupBuiltin = "@builtin(subgroup_size) lanes: u32,"
