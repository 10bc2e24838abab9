// The file of PyTorch's values: tensors, and beside them the calls that made them. Judges nothing.
import { type DType, hostView } from "@rondo/backend"
import { decode, parseSafetensors } from "@rondo/core"
import type { Host } from "./compare.js"

/** An argument as the file writes it: a tensor's name under `$`, a special number under `#`, or plain JSON. */
export type GoldenArgument = unknown

/** One call and where its tensors are. */
export interface GoldenCall {
  readonly id: string
  readonly op: string
  readonly dtype: DType
  readonly args: readonly GoldenArgument[]
  /** Names of the results. */
  readonly out: readonly string[]
  /** Names of the results' gradients, or null where a result has none; empty if the call has no gradients. */
  readonly cotangents?: readonly (string | null)[]
  /** Names of the gradients of the tensor arguments, in order; null for those that have none. */
  readonly grads?: readonly (string | null)[]
  /** True if the operation changes its first operand. */
  readonly inPlace?: boolean
}

/** One draw after `manualSeed`: a function of core, its arguments, and the name of what PyTorch drew. */
export interface GoldenDraw {
  readonly f: string
  readonly args: readonly unknown[]
  readonly out: string
}

/** The dtype of `op` on two operands, by PyTorch. `b` may be `"b"`, `"i"` or `"f"`: a bool, whole or fractional number. */
export interface GoldenPromotion {
  readonly op: string
  readonly a: string
  readonly b: string
  readonly zeroDim?: boolean
  readonly result: string | null
}

/** A name and a shape. */
export type GoldenShape = readonly [name: string, shape: readonly number[]]

/** One run of a recurrent layer or cell, or of a function that packs; see `goldens/ops_recurrent.py`. */
export interface GoldenRun {
  /** Of its two vectors: `<name>.in` and `<name>.out`. */
  readonly name: string
  /** The class or function of nn. */
  readonly op: string
  /** What is done with it, beside the options, in words. */
  readonly how: string
  readonly inputs: readonly GoldenShape[]
  readonly parameters: readonly GoldenShape[]
  readonly outputs: readonly GoldenShape[]
  /** What the constructor takes before its options. */
  readonly sizes?: readonly number[]
  readonly options?: Readonly<Record<string, unknown>>
  /** Default true. */
  readonly training?: boolean
  /** Set before the run, where something is drawn. */
  readonly seed?: number
  /** Probability of feeding the targets; null without targets. */
  readonly forcing?: number | null
  /** Of the sequences, where they are packed. */
  readonly lengths?: readonly number[]
  readonly enforceSorted?: boolean
  /** Options of the padding afterwards. */
  readonly pad?: Readonly<Record<string, unknown>>
  /** Plain data that must come out, such as batch sizes. */
  readonly facts?: Readonly<Record<string, unknown>>
}

/** The contents of `goldens/ops.safetensors`, made by `goldens/ops.py`. */
export class Goldens {
  readonly calls: readonly GoldenCall[]
  readonly draws: readonly { readonly seed: number; readonly steps: readonly GoldenDraw[] }[]
  readonly promotions: readonly GoldenPromotion[]
  readonly recurrent: readonly GoldenRun[]
  /** The version of PyTorch that wrote it. */
  readonly torch: string
  private readonly file: ReturnType<typeof parseSafetensors>

  constructor(bytes: Uint8Array) {
    this.file = parseSafetensors(bytes)
    const { calls, draws, promotions, recurrent, torch } = this.file.metadata
    this.calls = JSON.parse(calls) as GoldenCall[]
    this.draws = JSON.parse(draws) as Goldens["draws"]
    this.promotions = JSON.parse(promotions) as GoldenPromotion[]
    this.recurrent = JSON.parse(recurrent) as GoldenRun[]
    this.torch = torch
  }

  /** A tensor of the file as numbers. */
  tensor(name: string): Host {
    const found = this.file.tensors.get(name)
    if (!found) throw new Error(`goldens: the file has no tensor ${name}`)
    const dtype = found.dtype as DType
    // The bytes are copied: elements in a file need not be aligned.
    const raw = hostView(dtype, found.data.slice().buffer)
    return { dtype, shape: found.shape, values: Array.from(decode(raw, dtype) as ArrayLike<number>, Number) }
  }
}
