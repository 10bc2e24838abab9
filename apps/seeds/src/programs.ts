// The list of programs. Each is loaded only when it runs.
import type { Session } from "./session.js"

/** A program: what `npm start -- <name>` runs. */
export interface Program {
  readonly name: string
  readonly title: string
  load(): Promise<(session: Session) => Promise<void>>
}

export const programs: readonly Program[] = [
  {
    name: "000",
    title: "A recurrent layer, step by step",
    load: async () => (await import("./seed000.js")).seed000,
  },
  {
    name: "001",
    title: "Gradients through time, and other recurrences",
    load: async () => (await import("./seed001.js")).seed001,
  },
  {
    name: "002",
    title: "Ramps, trajectories and the limits of memory",
    load: async () => (await import("./seed002.js")).seed002,
  },
  {
    name: "003",
    title: "A classifier, and the shrinking gradient",
    load: async () => (await import("./seed003.js")).seed003,
  },
  {
    name: "004",
    title: "From one neuron to a cell, and LSTM by hand",
    load: async () => (await import("./seed004.js")).seed004,
  },
  {
    name: "gates",
    title: "What gates remember: RNN, LSTM and GRU",
    load: async () => (await import("./gates.js")).gates,
  },
  {
    name: "forecast",
    title: "Forecasting real series",
    load: async () => (await import("./forecast.js")).forecast,
  },
]
