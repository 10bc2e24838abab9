// One run of the app: the device, the seed, where text goes, and the results that the summary is made of.
import { performance } from "node:perf_hooks"
import type { Device } from "rondo"
import { Progress } from "./progress.js"

/** How a result stands beside what was expected. */
export type Verdict = "match" | "DIFFERS" | "shown"

/** What a section found. */
export interface Outcome {
  readonly result: string
  /** What the notebook or PyTorch has; "none for this seed" where there is nothing. */
  readonly expected: string
  /** Whether it is as it must be; null if nothing can be held against it. */
  readonly ok: boolean | null
}

/** A line of the summary. */
export interface Row extends Outcome {
  readonly program: string
  readonly section: string
  readonly seconds: number
}

/** Where text goes. */
export interface Streams {
  readonly out: NodeJS.WriteStream | { write(text: string): unknown; isTTY?: boolean; columns?: number }
  readonly err: NodeJS.WriteStream | { write(text: string): unknown; isTTY?: boolean; columns?: number }
}

export interface SessionOptions {
  readonly device: Device
  readonly seed: number
  readonly full: boolean
  /** At most so many epochs of each training. */
  readonly epochs?: number
  readonly quiet: boolean
  /** Folder for plots. */
  readonly out: string
  readonly streams: Streams
}

/** The seed whose results PyTorch's are checked in for, and that the notebooks use. */
export const referenceSeed = 1
/** In the place of an expected result. */
export const noReference = "no reference for this seed"

/** What programs run in. */
export class Session {
  readonly device: Device
  readonly seed: number
  readonly out: string
  readonly rows: Row[] = []
  readonly plots: string[] = []
  /** Name of the program that runs. */
  program = ""
  readonly #options: SessionOptions

  constructor(options: SessionOptions) {
    this.#options = options
    this.device = options.device
    this.seed = options.seed
    this.out = options.out
  }

  /** True if PyTorch's results for this seed are known. */
  get hasReference(): boolean {
    return this.seed === referenceSeed
  }
  /** True if figures must be the notebook's to the last digit: the reference adds in the order that the oracle did. */
  get exact(): boolean {
    return this.device.name === "cpu-js"
  }
  /** True if the length-100 tasks run every epoch: asked for, or on any device but the plain one. */
  get everyEpoch(): boolean {
    return this.#options.full || this.device.name !== "cpu-js"
  }
  /** Epochs to run of `epochs`; of `slow`, where that is what a slow device can do in the time. */
  epochsOf(epochs: number, slow = epochs): number {
    return Math.min(this.everyEpoch ? epochs : slow, this.#options.epochs ?? Infinity)
  }
  /** Columns to fill. */
  get columns(): number {
    return Math.min(Math.max(this.#options.streams.out.columns ?? 100, 60), 100)
  }
  /** True if text may be coloured. */
  get colours(): boolean {
    return this.#options.streams.out.isTTY === true && !process.env.NO_COLOR
  }

  print(text = ""): void {
    if (!this.#options.quiet) this.#options.streams.out.write(`${text}\n`)
  }
  progress(title: string, total: number): Progress {
    return new Progress(title, total, this.#options.streams.err)
  }

  /** Runs one part of a program under a heading and notes its outcome and time for the summary. */
  async section(title: string, body: () => Promise<Outcome>): Promise<void> {
    this.print(`\n-- ${title}`)
    const started = performance.now()
    const outcome = await body()
    this.rows.push({
      ...outcome,
      program: this.program,
      section: title,
      seconds: (performance.now() - started) / 1000,
    })
  }
}
