// What the notebooks print, figure by figure, and what PyTorch computes for the same seed (oracle/seeds.py).
import expectedFile from "./expected.json" with { type: "json" }

/** A checkpoint: epoch, train loss, test loss, and how far each of the losses moves by one-ulp nudges. */
export type Checkpoint = readonly number[]

/** PyTorch's training run. */
export interface Reference {
  readonly parameters: number
  readonly losses: readonly Checkpoint[]
  /** Test loss after the last epoch, and its spread. */
  readonly test: readonly number[]
}

export const expected = expectedFile

/** Notebooks 000 and 001, seed 1: the text of every array that they print. */
export const steps: readonly { readonly hidden: string; readonly output: string }[] = [
  { hidden: "[[-0.4701929  0.5863904]]", output: "[[-0.3519801   0.52525216]]" },
  { hidden: "[[-0.88883156  1.2364397 ]]", output: "[[-0.68424344  0.76074266]]" },
  { hidden: "[[-1.3074701  1.886489 ]]", output: "[[-0.8649416   0.90466356]]" },
]

/** Notebooks 000 and 001: names and sizes of the layer's parameters. */
export const shapes: readonly (readonly [label: string, parameter: string, shape: string])[] = [
  ["W_xh", "weight_ih_l0", "[2, 5]"],
  ["W_hh", "weight_hh_l0", "[2, 2]"],
  ["b_xh", "bias_ih_l0", "[2]"],
  ["b_hh", "bias_hh_l0", "[2]"],
]

/** Notebook 003, from an unknown seed: the losses of its five epochs. */
export const classifierLosses = ["0.7645", "0.7104", "0.6583", "0.6083", "0.5605"]

/** Notebook 003: the gradient at steps 5, 4, 3, 2 and 1 for a recurrent weight of 0.5. */
export const shrinking = [1, 0.5, 0.25, 0.125, 0.0625]

/** Notebook 004, from an unknown seed: the outputs of one neuron for four instances at two times. */
export const neuronOutputs = [
  [0.5958, 0.9998, 1.0, 0.9999],
  [1.0, 0.5901, 1.0, 0.9991],
]
