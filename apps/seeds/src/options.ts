// The command line: which programs run, on what device, from which seed. Reads arguments; runs nothing.
import { fileURLToPath } from "node:url"
import { resolve } from "node:path"
import { Argument, Command, CommanderError, InvalidArgumentError, Option } from "commander"
import { programs } from "./programs.js"

/** What the command line asks for. */
export interface Options {
  /** Names of programs, in the order given. */
  readonly programs: readonly string[]
  readonly device: string
  readonly seed: number
  /** Every epoch, however slow the device. */
  readonly full: boolean
  /** At most so many epochs of each training of 002, if given. */
  readonly epochs?: number
  /** Folder for the plots. */
  readonly out: string
  /** Only the summary. */
  readonly quiet: boolean
  readonly list: boolean
}

/** The command line cannot be followed, or wants only its help: the text for the user and the exit code. */
export class Stop extends Error {
  readonly code: number
  constructor(text: string, code: number) {
    super(text)
    this.code = code
  }
}

function readSeed(text: string): number {
  const seed = Number(text)
  if (/^\d+$/.test(text) && Number.isSafeInteger(seed)) return seed
  throw new InvalidArgumentError("expected a whole number from 0 to 9007199254740991.")
}

function readEpochs(text: string): number {
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text)
  throw new InvalidArgumentError("expected a whole number from 1 to 999999.")
}

const examples = `
Examples:
  npm start                                    everything, on the fastest device there is
  npm start -- 002 --device cpu-js --seed 7    one program
  npm start -- 002 --full                      every epoch, even where that takes long
`

function command(output: (text: string) => void): Command {
  const names = programs.map((program) => program.name)
  return new Command("npm start --")
    .description("Runs the seed notebooks as programs and holds their results against the notebooks' and PyTorch's.")
    .addArgument(new Argument("[programs...]", "which to run (default: all)").choices(names))
    .option("-d, --device <name>", "auto, cuda, webgpu, wasm-simd or cpu-js", "auto")
    .addOption(new Option("-s, --seed <number>", "start of the random stream").argParser(readSeed).default(1))
    .option("--full", "every epoch, even on a slow device", false)
    .addOption(new Option("--epochs <number>", "at most so many epochs of each training of 002").argParser(readEpochs))
    .option("-o, --out <folder>", "folder for the plots (default: apps/seeds/out)")
    .option("-q, --quiet", "print the summary only", false)
    .option("-l, --list", "list the programs and the devices, and stop", false)
    .addHelpText("after", examples)
    .configureOutput({ writeOut: output, writeErr: output })
    .exitOverride()
}

/**
 * Reads the arguments.
 *
 * @param cwd - What `--out` is relative to.
 * @throws Stop with code 2 for arguments that make no sense, with code 0 after `--help`; its message is what to print.
 */
export function readOptions(args: readonly string[], cwd: string): Options {
  const texts: string[] = []
  try {
    const parsed = command((text) => texts.push(text)).parse([...args], { from: "user" })
    const options = parsed.opts<Omit<Options, "programs" | "out"> & { out?: string }>()
    const standard = fileURLToPath(new URL("../out", import.meta.url))
    const out = options.out === undefined ? standard : resolve(cwd, options.out)
    const asked = [...new Set(parsed.args)]
    return { ...options, out, programs: asked.length > 0 ? asked : programs.map((program) => program.name) }
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    const text = texts.join("").trim()
    if (error.exitCode === 0) throw new Stop(text, 0)
    const fact = text
      .split("\n")[0]
      .replace(/^error: /, "rondo: ")
      .replace(/\.$/, "")
    throw new Stop(`${fact}; see npm start -- --help`, 2)
  }
}
