// The problem of conformance/goldens/optim.py and what PyTorch made of it, for the tests of this package.
import { readFileSync } from "node:fs"
import type { DType } from "@rondo/backend"
import { type Tensor, tensor } from "@rondo/core"
import { expect } from "vitest"
import {
  Adadelta,
  Adagrad,
  Adam,
  Adamax,
  AdamW,
  ASGD,
  LBFGS,
  NAdam,
  type Optimizer,
  RAdam,
  RMSprop,
  Rprop,
  SGD,
} from "../index.js"

/** Every optimiser by its name. */
export const kinds = { Adadelta, Adagrad, Adam, Adamax, AdamW, ASGD, LBFGS, NAdam, RAdam, RMSprop, Rprop, SGD } as unknown as Record<
  string,
  new (params: unknown, options: object) => Optimizer<{ lr: number }>
> // prettier-ignore

export interface Trajectory {
  kind: string
  options: Record<string, unknown>
  groups: boolean
  dtype: DType
  steps: [number[], number[]][]
}
/** A state_dict() of PyTorch after step 5; tensors are `{ shape, data }`. */
export interface SavedState {
  kind: string
  options: Record<string, unknown>
  dict: { state: Record<number, Record<string, unknown>>; param_groups: (Record<string, unknown> & { params: number[] })[] }
}
interface Goldens {
  problem: Record<"x" | "y" | "w", number[][]> & Record<"s" | "b", number[]>
  trajectories: Trajectory[]
  clips: { normType: number | "Infinity"; maxNorm: number; total: number; grads: [number[], number[]] }[]
  states: SavedState[]
}
export const goldens = JSON.parse(readFileSync(new URL("./optim.json", import.meta.url), "utf8")) as Goldens

export interface Problem {
  readonly w: Tensor
  readonly b: Tensor
  /** Computes the loss and adds its gradients. */
  readonly gradients: () => Tensor
}
export function problem(dtype: DType): Problem {
  const { problem: given } = goldens
  const [x, y, s] = [given.x, given.y, given.s].map((values) => tensor(values, { dtype }))
  const [w, b] = [given.w, given.b].map((values) => tensor(values, { dtype, requiresGrad: true }))
  const gradients = (): Tensor => {
    const error = x.matmul(w).add(b).sub(y).square().mul(s).sum().div(4).add(w.pow(4).sum().div(50))
    error.backward()
    return error
  }
  return { w, b, gradients }
}

/** Errors are relative to the wanted value, or to 1 where that is smaller. */
export function expectClose(got: Tensor, wanted: readonly number[], limit: number): void {
  const values = Array.from(got.detach().dataSync() as Float64Array)
  expect(values).toHaveLength(wanted.length)
  values.forEach((value, i) => {
    expect(Math.abs(value - wanted[i]) / Math.max(1, Math.abs(wanted[i]))).toBeLessThanOrEqual(limit)
  })
}
