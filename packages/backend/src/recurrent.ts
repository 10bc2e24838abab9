// The cells of the recurrent kernels: what happens to one unit at one time step, forward and backward, as expressions that
// every backend renders. Products with the weights, and the order of time, are the kernels' work.
import type { DType } from "./dtype.js"
import { e, type Expr } from "./expr.js"

/** The recurrences that run as one kernel: Elman's with tanh or relu, LSTM, GRU. */
export type RecurrentCell = "tanh" | "relu" | "lstm" | "gru"

/** One cell. H is the number of units; every expression works on one of them. */
export interface CellExprs {
  /** Rows of the weights for each unit, in PyTorch's order: i f g o for LSTM, r z n for GRU. */
  readonly gates: number
  /** What a step saves for backward, in units of H: the gates after their functions, and for GRU the product behind n. */
  readonly saved: number
  /**
   * Forward. Inputs: the projected gates p (x W_ih^T + b_ih), the hidden gates q (h W_hh^T + b_hh), then h and, for LSTM, c.
   * Outputs: the next h, for LSTM the next c, then what is saved.
   */
  readonly forward: (dtype: DType) => Expr[]
  /**
   * Backward. Inputs: the gradient of the next h, for LSTM that of the next c, what was saved, then the next h and the old h,
   * for LSTM the next c and the old c. Outputs: gradients of the projected gates, of the hidden gates where they
   * differ (GRU), then what reaches the old h (GRU) or the old c (LSTM) without passing a product.
   */
  readonly backward: (dtype: DType) => Expr[]
}

const inputs = (dtype: DType, count: number): Expr[] => Array.from({ length: count }, (_, i) => e.input(i, dtype))
const complement = (x: Expr): Expr => e.sub(e.like(x, 1), x)
/** Derivative of the sigmoid, from its value. */
const sigmoidSlope = (s: Expr): Expr => e.mul(s, complement(s))
/** Derivative of tanh, from its value. */
const tanhSlope = (y: Expr): Expr => complement(e.mul(y, y))

/**
 * The formulas of `torch.nn.RNN`, `LSTM` and `GRU` (https://pytorch.org/docs/stable/generated/torch.nn.GRU.html: the reset gate
 * acts after the product) and their derivatives.
 */
export const recurrentCells: Readonly<Record<RecurrentCell, CellExprs>> = {
  tanh: {
    gates: 1,
    saved: 0,
    forward: (dtype) => {
      const [p, q] = inputs(dtype, 2)
      return [e.tanh(e.add(p, q))]
    },
    backward: (dtype) => {
      const [g, next] = inputs(dtype, 2)
      return [e.mul(g, tanhSlope(next))]
    },
  },
  relu: {
    gates: 1,
    saved: 0,
    forward: (dtype) => {
      const [p, q] = inputs(dtype, 2)
      const z = e.add(p, q)
      return [e.max(z, e.like(z, 0))]
    },
    backward: (dtype) => {
      const [g, next] = inputs(dtype, 2)
      return [e.where(e.gt(next, e.like(next, 0)), g, e.like(g, 0))]
    },
  },
  lstm: {
    gates: 4,
    saved: 4,
    forward: (dtype) => {
      const [pi, pf, pg, po, qi, qf, qg, qo, , c] = inputs(dtype, 10)
      const i = e.sigmoid(e.add(pi, qi))
      const f = e.sigmoid(e.add(pf, qf))
      const g = e.tanh(e.add(pg, qg))
      const o = e.sigmoid(e.add(po, qo))
      const next = e.add(e.mul(f, c), e.mul(i, g))
      return [e.mul(o, e.tanh(next)), next, i, f, g, o]
    },
    backward: (dtype) => {
      const [dh, dc, i, f, g, o, , , next, c] = inputs(dtype, 10)
      const t = e.tanh(next)
      const inner = e.add(dc, e.mul(e.mul(dh, o), tanhSlope(t)))
      return [
        e.mul(e.mul(inner, g), sigmoidSlope(i)),
        e.mul(e.mul(inner, c), sigmoidSlope(f)),
        e.mul(e.mul(inner, i), tanhSlope(g)),
        e.mul(e.mul(dh, t), sigmoidSlope(o)),
        e.mul(inner, f),
      ]
    },
  },
  gru: {
    gates: 3,
    saved: 4,
    forward: (dtype) => {
      const [pr, pz, pn, qr, qz, qn, h] = inputs(dtype, 7)
      const r = e.sigmoid(e.add(pr, qr))
      const z = e.sigmoid(e.add(pz, qz))
      const n = e.tanh(e.add(pn, e.mul(r, qn)))
      return [e.add(e.mul(e.sub(h, n), z), n), r, z, n, qn]
    },
    backward: (dtype) => {
      const [g, r, z, n, qn, , h] = inputs(dtype, 7)
      const dn = e.mul(e.mul(g, complement(z)), tanhSlope(n))
      const dr = e.mul(e.mul(dn, qn), sigmoidSlope(r))
      const dz = e.mul(e.mul(g, e.sub(h, n)), sigmoidSlope(z))
      return [dr, dz, dn, dr, dz, e.mul(dn, r), e.mul(g, z)]
    },
  },
}
