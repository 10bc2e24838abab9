// Which buffers a kernel binds: WebGPU forbids binding one buffer twice if it is written, so operands that share a buffer share
// a slot.
import type { View } from "@rondo/backend"
import { type Block, blockOf } from "./memory.js"
import { perWord } from "./types.js"

/** How a slot is declared: read only, by words or (`q`) four at a time, read and written by words, or written by atomics. */
export type SlotKind = "r" | "q" | "w" | "a"

/** The buffers of one run: each operand's slot, and each slot's buffer and kind. */
export interface Bindings {
  /** One slot an operand: outputs first, then inputs. */
  readonly slots: readonly number[]
  readonly kinds: readonly SlotKind[]
  readonly blocks: readonly Block[]
  /** Everything that the shader's declarations depend on. */
  readonly key: string
}

/** Slots for outputs and inputs. `atomic` also makes outputs of whole words atomic. */
export function bind(home: object, outputs: readonly View[], inputs: readonly View[], atomic = false): Bindings {
  const blocks: Block[] = []
  const kinds: SlotKind[] = []
  const slotOf = (view: View): number => {
    const block = blockOf(view.storage, home)
    const known = blocks.indexOf(block)
    if (known >= 0) return known
    kinds.push("r")
    return blocks.push(block) - 1
  }
  const slots = [...outputs, ...inputs].map(slotOf)
  outputs.forEach(({ dtype }, i) => {
    const kind = atomic || perWord(dtype) > 1 ? "a" : "w"
    if (kinds[slots[i]] !== "a") kinds[slots[i]] = kind
  })
  return { slots, kinds, blocks, key: `${kinds.join("")} ${slots.join(",")}` }
}

/** The same bindings with these slots, which are only read, declared in vectors of four words. */
export function inQuads(bindings: Bindings, quads: readonly number[]): Bindings {
  if (quads.length === 0) return bindings
  const kinds = bindings.kinds.map((kind, slot): SlotKind => (quads.includes(slot) ? "q" : kind))
  return { ...bindings, kinds, key: `${kinds.join("")} ${bindings.slots.join(",")}` }
}

/** WGSL declarations of slots and of how they are read and written. */
export function declareSlots(kinds: readonly SlotKind[]): string {
  return kinds.map((kind, slot) => declareSlot(kind, slot)).join("\n")
}

function declareSlot(kind: SlotKind, slot: number): string {
  const type = kind === "a" ? "array<atomic<u32>>" : kind === "q" ? "array<vec4<u32>>" : "array<u32>"
  const access = kind === "r" || kind === "q" ? "read" : "read_write"
  const name = `slot${slot}`
  const lines = [`@group(0) @binding(${slot + 1}) var<storage, ${access}> ${name}: ${type};`]
  if (kind === "a") {
    lines.push(`fn load${slot}(i: u32) -> u32 { return atomicLoad(&${name}[i]); }`)
    lines.push(`fn store${slot}(i: u32, bits: u32) { atomicStore(&${name}[i], bits); }`)
    // Only bits of the element itself change, so neighbours may be written at the same time.
    for (const [width, shift] of [
      [8, 2],
      [16, 1],
    ])
      // prettier-ignore
      lines.push(
        `fn put${width}_${slot}(i: u32, bits: u32) { let at = (i & ${2 ** shift - 1}u) * ${width}u; let w = i >> ${shift}u; ` +
          `atomicXor(&${name}[w], (atomicLoad(&${name}[w]) ^ (bits << at)) & (${2 ** width - 1}u << at)); }`,
      )
  } else if (kind === "q") {
    lines.push(`fn load${slot}(i: u32) -> u32 { return ${name}[i >> 2u][i & 3u]; }`)
    // Words i to i + 3, where i is a multiple of four.
    lines.push(`fn quad${slot}(i: u32) -> vec4<u32> { return ${name}[i >> 2u]; }`)
  } else {
    lines.push(`fn load${slot}(i: u32) -> u32 { return ${name}[i]; }`)
    if (kind === "w") lines.push(`fn store${slot}(i: u32, bits: u32) { ${name}[i] = bits; }`)
  }
  return lines.join("\n")
}
