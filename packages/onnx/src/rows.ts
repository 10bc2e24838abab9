// The form of an entry in the table of layers: which class, how many inputs, and the function that writes its nodes.
import type { Module } from "@rondo/nn"
import type { Graph, Outputs, SequenceCall } from "./graph.js"
import type { Value } from "./recorder.js"

/** Writes the nodes of one call. */
export type Convert<M extends Module> = (
  g: Graph,
  module: M,
  inputs: readonly Value[],
  options: SequenceCall,
) => Outputs

/** What is checked before. */
export interface RowOptions {
  /** How many inputs there may be. Default one. */
  readonly inputs?: readonly number[]
  /** All inputs must be float32. Default false. */
  readonly floats?: boolean
  /** Takes lengths. Default false. */
  readonly sequences?: boolean
}

/** One class of layer. */
export interface Row extends Required<RowOptions> {
  readonly type: abstract new (...args: never[]) => Module
  readonly convert: Convert<Module>
}

/** An entry of the table. */
export function row<M extends Module>(
  type: abstract new (...args: never[]) => M,
  convert: Convert<M>,
  { inputs = [1], floats = false, sequences = false }: RowOptions = {},
): Row {
  // The table is searched by class, so the module that arrives is of this one.
  return { type, convert: convert as Convert<Module>, inputs, floats, sequences }
}
