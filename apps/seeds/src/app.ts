// The app behind the command line: opens the device, runs the programs one after the other, and sums up.
import { mkdir } from "node:fs/promises"
import { performance } from "node:perf_hooks"
import { device, devices, RondoError, use } from "rondo"
import { type Options, readOptions, Stop } from "./options.js"
import { programs } from "./programs.js"
import { Session, type Streams } from "./session.js"
import { summary } from "./summary.js"

/**
 * Runs the app.
 *
 * @param args - What follows `npm start --`.
 * @returns The exit code: 0, 1 if a result differs from what it must be, 2 for arguments that cannot be followed.
 */
export async function run(
  args: readonly string[],
  streams: Streams = { out: process.stdout, err: process.stderr },
): Promise<number> {
  try {
    const options = readOptions(args, process.env.INIT_CWD ?? process.cwd())
    if (options.list) {
      streams.out.write(await listing())
      return 0
    }
    return await runAll(options, streams)
  } catch (error) {
    if (!(error instanceof Stop)) throw error
    ;(error.code === 0 ? streams.out : streams.err).write(`${error.message}\n`)
    return error.code
  }
}

async function runAll(options: Options, streams: Streams): Promise<number> {
  const session = await openSession(options, streams)
  const started = performance.now()
  const note = session.everyEpoch ? "" : "; long tasks are shortened here, --full runs every epoch"
  session.print(`Rondo: the seeds, on ${session.device.name} from seed ${session.seed}${note}`)
  for (const name of options.programs) {
    const program = programs.find((candidate) => candidate.name === name)!
    session.program = name
    const heading = `${program.name}: ${program.title}`
    session.print(`\n${heading}\n${"=".repeat(heading.length)}`)
    const body = await program.load()
    await body(session)
  }
  const wrong = session.rows.filter((row) => row.ok === false)
  streams.out.write(`\n${summary(session)}\n`)
  if (session.plots.length > 0) streams.out.write(`Plots: ${session.plots.join(", ")} in ${session.out}\n`)
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  const held = session.rows.filter((row) => row.ok !== null).length
  const verdict = wrong.length === 0 ? `${held} of ${held} results are as they must be` : `${wrong.length} of ${held} results DIFFER` // prettier-ignore
  streams.out.write(`${verdict}; ${seconds} s.\n`)
  return wrong.length === 0 ? 0 : 1
}

async function openSession(options: Options, streams: Streams): Promise<Session> {
  await mkdir(options.out, { recursive: true }).catch((error: Error) => {
    throw new Stop(`rondo: the plots cannot be written: ${error.message}; choose another folder with --out`, 2)
  })
  try {
    const found = await device(options.device)
    use(found)
    return new Session({ ...options, device: found, streams })
  } catch (error) {
    if (error instanceof RondoError) throw new Stop(`rondo: ${error.message}`, 2)
    throw error
  }
}

async function listing(): Promise<string> {
  const lines = programs.map((program) => `  ${program.name.padEnd(10)}${program.title}`)
  const found = await devices()
  const state = found.map(({ name, reason }) => `  ${name.padEnd(12)}${reason || "available"}`)
  return `Programs:\n${lines.join("\n")}\nDevices, fastest first:\n${state.join("\n")}\n`
}
