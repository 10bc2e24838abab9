// Text of index arithmetic that kernels over strided views share. Knows no kernel.
import { param } from "./queue.js"

/**
 * Statements that take the number `index` apart into coordinates `name0`, `name1`, …, the last one running fastest. The sizes
 * are parameters from `first` on.
 */
export function coordinates(index: string, name: string, rank: number, first: number): string[] {
  if (rank === 0) return []
  if (rank === 1) return [`let ${name}0 = ${index};`]
  const lines = [`var ${name}_rest = ${index};`]
  for (let d = rank - 1; d > 0; d--) {
    lines.push(`let ${name}${d} = ${name}_rest % ${param(first + d)};`, `${name}_rest /= ${param(first + d)};`)
  }
  return [...lines, `let ${name}0 = ${name}_rest;`]
}

/** The expression `base + name0 * stride0 + …`; the strides are parameters from `first` on. */
export function walked(base: string, name: string, rank: number, first: number): string {
  return [base, ...Array.from({ length: rank }, (_, d) => `${name}${d} * ${param(first + d)}`)].join(" + ")
}

/** The least power of two that is at least `n`. */
export const powerFrom = (n: number): number => 2 ** Math.ceil(Math.log2(Math.max(n, 1)))

/** Threads of a workgroup that works together. */
export const teamSize = 256

/**
 * The start of an entry point of whole workgroups: `team` is the workgroup's number, `group.z` its layer, `l` the thread's place in it.
 * `further` are more parameters.
 */
export const teamEntry = (further = ""): string => `
@compute @workgroup_size(${teamSize})
fn main(${further} @builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) l: u32, @builtin(num_workgroups) groups: vec3<u32>) {
  let team = group.x + group.y * groups.x;
`
