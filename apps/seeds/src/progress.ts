// Progress of long work: a bar on a terminal, else a plain line now and then. Prints nothing for work that is soon done.
import { performance } from "node:perf_hooks"
import { setImmediate } from "node:timers/promises"
import { Format, Presets, SingleBar } from "cli-progress"

interface Stream {
  write(text: string): unknown
  isTTY?: boolean
  columns?: number
}

/** Work that takes less than this is not worth a line; more of it gets a line this often. */
const quietSeconds = 5
const redrawSeconds = 0.1

/** One piece of long work. */
export class Progress {
  readonly #title: string
  readonly #total: number
  readonly #stream: Stream
  readonly #bar: SingleBar | null
  readonly #started = performance.now()
  #last = performance.now()

  constructor(title: string, total: number, stream: Stream) {
    this.#title = title
    this.#total = total
    this.#stream = stream
    this.#bar = stream.isTTY ? makeBar(title, stream as NodeJS.WriteStream) : null
    this.#bar?.start(total, 0, { note: "" })
  }

  /**
   * Tells how much is done. Lets other things happen once in a while, so that Ctrl-C is heard and memory is freed:
   * finalisers run between tasks only.
   */
  async update(done: number, note: () => Promise<string> | string = () => ""): Promise<void> {
    const now = performance.now()
    const wait = this.#bar ? redrawSeconds : quietSeconds
    if (now - this.#last < wait * 1000) return
    this.#last = now
    if (this.#bar) this.#bar.update(done, { note: await note() })
    else this.#stream.write(`   ${this.#title}: ${done} of ${this.#total}, ${await note()} (${this.#seconds(now)} s)\n`)
    await setImmediate()
  }
  #seconds(now: number): string {
    return ((now - this.#started) / 1000).toFixed(0)
  }
  /** The bar goes; what was found is printed by the caller. */
  stop(): void {
    this.#bar?.stop()
  }
}

function makeBar(title: string, stream: NodeJS.WriteStream): SingleBar {
  // One line, whatever the terminal's width: a bar that wraps cannot be erased.
  const size = Math.max(10, Math.min(30, (stream.columns ?? 80) - title.length - 50))
  const format: NonNullable<ConstructorParameters<typeof SingleBar>[0]["format"]> = (options, params, payload) => {
    const bar = Format.BarFormat(params.progress, options)
    const left = params.eta ? `, ${Math.round(Number(params.eta))} s left` : ""
    const line = `   ${title} ${bar} ${params.value}/${params.total}${left}  ${(payload as { note: string }).note}`
    return line.slice(0, (stream.columns ?? 80) - 1)
  }
  return new SingleBar(
    { format, stream, clearOnComplete: true, hideCursor: true, barsize: size, synchronousUpdate: true, linewrap: null },
    Presets.shades_classic,
  )
}
