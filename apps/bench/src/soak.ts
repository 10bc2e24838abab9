// A long run without `dispose` or `scope`: three training loops of drifting sizes, as users write them, and a line of what they
// hold. Ends with an error if the line is not flat.
import { Command } from "commander"
import { writeFileSync } from "node:fs"
import { resolve } from "node:path"
import { Adam, crossEntropy, device, type Device, GRU, Linear, LSTM, manualSeed, mseLoss, randint, randn, RNN, type Tensor, use } from "rondo" // prettier-ignore

interface Sample {
  readonly minutes: number
  readonly steps: number
  /** Bytes and buffers that the device counts, and the whole process in memory; MB of 2^20 bytes. */
  readonly device_mb: number
  readonly buffers: number
  readonly resident_mb: number
  readonly loss: number
}

const mega = 2 ** 20

/** A training loop: one step of it, for the step's number. */
type Loop = (step: number) => Tensor

/** The trajectories of the first notebook: the same sizes at every step. */
function steady(): Loop {
  const rnn = new RNN(2, 10, { batchFirst: true })
  const out = new Linear(10, 2)
  const adam = new Adam([...rnn.parameters(), ...out.parameters()], { lr: 0.01 })
  const x = randn(200, 5, 2)
  const y = x.select(1, 0)
  return () => {
    adam.zeroGrad()
    const loss = mseLoss(out.forward(rnn.forward(x)[0].select(1, -1)), y)
    loss.backward()
    adam.step()
    return loss
  }
}

/** Characters, with other lengths and batches at every step, drifting upwards and back: what breaks heaps up. */
function drifting(): Loop {
  const lstm = new LSTM(24, 48, { numLayers: 2, dropout: 0.1 })
  const out = new Linear(48, 30)
  const adam = new Adam([...lstm.parameters(), ...out.parameters()], { lr: 0.003 })
  return (step) => {
    const length = 5 + ((step * 7) % 23) + Math.round(20 * (1 + Math.sin(step / 500)))
    const batch = 1 + ((step * 5) % 17)
    adam.zeroGrad()
    const [output] = lstm.forward(randn(length, batch, 24))
    const loss = crossEntropy(out.forward(output).reshape(length * batch, 30), randint(0, 30, [length * batch]))
    loss.backward()
    adam.step()
    return loss
  }
}

/** Step by step, with small tensors by the hundred. */
function small(): Loop {
  const gru = new GRU(6, 12)
  const adam = new Adam(gru.parameters(), { lr: 0.001 })
  return (step) => {
    adam.zeroGrad()
    let total = randn(1).mul(0).sum()
    let h: Tensor | undefined
    for (let i = 0; i < 10 + (step % 7); i++) {
      const [y, next] = gru.forward(randn(1, 3, 6), h)
      h = next
      total = total.add(y.tanh().mul(y).mean())
    }
    total.backward()
    adam.step()
    return total
  }
}

async function run(dev: Device, minutes: number, every: number): Promise<Sample[]> {
  manualSeed(1)
  const loops = [steady(), drifting(), small()]
  const samples: Sample[] = []
  const start = performance.now()
  let next = 0
  for (let step = 0; ; step++) {
    const loss = loops[step % loops.length](step)
    // Users look at a loss now and then; that is where finalisers run.
    if (step % 10 !== 9) continue
    const value = await loss.item()
    const now = (performance.now() - start) / 60e3
    if (now >= next) {
      const { bytes, buffers } = dev.backend.memory()
      const sample = { minutes: now, steps: step + 1, device_mb: bytes / mega, buffers, resident_mb: process.memoryUsage().rss / mega, loss: value } // prettier-ignore
      samples.push(sample)
      console.log(Object.values(sample).map((x) => Number(x.toFixed(2))).join("\t")) // prettier-ignore
      next = now + every / 60
    }
    if (now >= minutes) return samples
  }
}

/** The median of the last third against that of the second: 1 where the line is flat. */
function growth(samples: readonly Sample[], of: (sample: Sample) => number): number {
  const third = Math.floor(samples.length / 3)
  const median = (list: readonly Sample[]): number => list.map(of).sort((a, b) => a - b)[list.length >> 1]
  return median(samples.slice(2 * third)) / median(samples.slice(third, 2 * third))
}

const options = new Command("soak")
  .description("Trains for a long time without freeing anything by hand, and watches the memory.")
  .option("--device <name>", "device of Rondo", "wasm-simd")
  .option("--minutes <n>", "how long", Number, 30)
  .option("--every <seconds>", "between two samples", Number, 15)
  .option("--out <file>", "where the samples go, as JSON")
  .parse(process.argv.filter((arg, i) => !(arg === "--" && i === 2)))
  .opts<{ device: string; minutes: number; every: number; out?: string }>()

const dev = await device(options.device)
use(dev)
console.log("minutes\tsteps\tdevice MB\tbuffers\tresident MB\tloss")
const samples = await run(dev, options.minutes, options.every)
const grown = { device: growth(samples, (s) => s.device_mb), resident: growth(samples, (s) => s.resident_mb) }
console.log(`last third against the second: device ${grown.device.toFixed(3)}, resident ${grown.resident.toFixed(3)}`)
const rounded = (_: string, value: unknown): unknown =>
  typeof value === "number" ? Number(value.toPrecision(6)) : value
const about = { date: new Date().toISOString().slice(0, 10), node: process.version, device: dev.name, minutes: options.minutes } // prettier-ignore
if (options.out) writeFileSync(resolve(options.out), JSON.stringify({ about, grown, samples }, rounded, 1) + "\n")
if (grown.device > 1.25 || grown.resident > 1.1) process.exitCode = 1
