// Progress of long work: a bar on a terminal, else a plain line now and then. Prints nothing for work that is soon done.
import { performance } from "node:perf_hooks"
import { setImmediate } from "node:timers/promises"
import cliProgress from "cli-progress"

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
  readonly #bar: cliProgress.SingleBar | null
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

function makeBar(title: string, stream: NodeJS.WriteStream): cliProgress.SingleBar {
  const format = `   ${title} {bar} {value}/{total}, {eta} s left  {note}`
  const options = { format, stream, clearOnComplete: true, hideCursor: true, barsize: 20, synchronousUpdate: true }
  return new cliProgress.SingleBar(options, cliProgress.Presets.shades_classic)
}
