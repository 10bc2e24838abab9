// A run whose device goes away goes on from its host copy, on another device, bit for bit as if nothing had happened.
import { DeviceError, FormatError, type Kernel, type Storage, type View } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { checkpointToHost, Device, manualSeed, rand, randn, tensor, type Tensor, use, zeros } from "@rondo/core"
import { Dropout, Linear, Module, mseLoss, RNN } from "@rondo/nn"
import { afterEach, describe, expect, it } from "vitest"
import { Adam, ExponentialLR, SGD } from "./index.js"

/** A device that can be lost: then everything but `free` throws. */
class Mortal extends CpuJs {
  dead = false
  #check(): void {
    if (this.dead) throw new DeviceError("mortal: the device was lost")
  }
  override alloc(bytes: number): Storage {
    this.#check()
    return super.alloc(bytes)
  }
  override write(storage: Storage, data: ArrayBufferView, byteOffset?: number): void {
    this.#check()
    super.write(storage, data, byteOffset)
  }
  override readSync(storage: Storage, byteOffset: number, byteLength: number): ArrayBuffer {
    this.#check()
    return super.readSync(storage, byteOffset, byteLength)
  }
  override run(kernel: Kernel, inputs: readonly View[], outputs: readonly View[], scalars?: readonly number[]): void {
    this.#check()
    super.run(kernel, inputs, outputs, scalars)
  }
}

class Net extends Module {
  readonly rnn = new RNN(2, 4, { batchFirst: true })
  readonly drop = new Dropout(0.3)
  readonly out = new Linear(4, 1)
  declare mean: Tensor
  declare scratch: Tensor
  constructor() {
    super()
    this.registerBuffer("mean", zeros(1))
    this.registerBuffer("scratch", tensor([3, 4]), { persistent: false })
  }
  forward(x: Tensor): Tensor {
    const [output] = this.rnn.forward(x)
    return this.out
      .forward(this.drop.forward(output.select(1, -1)))
      .add(this.mean)
      .add(this.scratch.sum())
  }
}

function makeRun() {
  manualSeed(4)
  const model = new Net()
  const optimizer = new Adam(model.parameters(), { lr: 0.05 })
  return { model, optimizer, scheduler: new ExponentialLR(optimizer, { gamma: 0.9 }) }
}

function train({ model, optimizer, scheduler }: ReturnType<typeof makeRun>, steps: number): number[] {
  return Array.from({ length: steps }, () => {
    // Data comes from the random stream too, on the device that is current.
    const x = randn(3, 5, 2)
    const loss = mseLoss(model.forward(x), x.sum([1, 2]).unsqueeze(1))
    model.mean.add_(loss.detach().mul(0.01))
    optimizer.zeroGrad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    return loss.itemSync()
  })
}

/** The losses of a run that nothing happens to. */
function undisturbed(): number[] {
  use(new CpuJs())
  return train(makeRun(), 7)
}

afterEach(() => void use(new CpuJs()))

describe("a host copy", () => {
  it("carries a run over to another device when its own is lost", async () => {
    const wanted = undisturbed()
    const mortal = new Mortal()
    use(mortal)
    const run = makeRun()
    const parameters = run.model.parameters()
    train(run, 3)
    const copy = await checkpointToHost({ ...run, extra: { step: 3 } })
    train(run, 1)
    mortal.dead = true
    expect(() => train(run, 1)).toThrow(DeviceError)
    const next = use(new CpuJs())
    expect(await copy.restore(next)).toEqual({ extra: { step: 3 } })
    expect(train(run, 4)).toEqual(wanted.slice(3))
    // The same objects, on the other device.
    expect(run.model.parameters().every((x, i) => x === parameters[i] && x.device === next)).toBe(true)
    expect(run.model.scratch.tolistSync()).toEqual([3, 4])
  })
  it("goes back in time on the same device, as often as one likes", async () => {
    const wanted = undisturbed()
    const device = use(new CpuJs())
    const run = makeRun()
    train(run, 2)
    const copy = await checkpointToHost(run)
    expect(copy.bytes).toBeGreaterThanOrEqual(copy.file.byteLength)
    for (let time = 0; time < 2; time++) {
      expect(train(run, 3)).toEqual(wanted.slice(2, 5))
      await copy.restore(device)
      expect(run.model.parameters().every(({ grad }) => grad === null)).toBe(true)
    }
  })
  it("moves models among the others, and leaves random state alone if asked to", async () => {
    const mortal = new Mortal()
    use(mortal)
    const [model, critic] = [new Linear(2, 1), new Linear(1, 1)]
    const optimizer = new SGD(critic.parameters(), { lr: 0.1, momentum: 0.9 })
    critic.forward(model.forward(rand(2, 2))).sum().backward() // prettier-ignore
    optimizer.step()
    const weight = critic.weight.tolistSync()
    const copy = await checkpointToHost({ optimizer, others: { model, critic }, generator: null })
    mortal.dead = true
    const next = use(new CpuJs())
    manualSeed(7)
    const drawn = rand(1).itemSync()
    manualSeed(7)
    await copy.restore(next)
    expect(rand(1).itemSync()).toBe(drawn)
    expect(critic.weight.tolistSync()).toEqual(weight)
    expect(critic.weight.device).toBe(next)
    critic.forward(model.forward(rand(2, 2))).sum().backward() // prettier-ignore
    optimizer.step()
  })
  it("changes nothing where it does not fit any more, or the new device has no room", async () => {
    const home = use(new CpuJs())
    const model = new Net()
    const copy = await checkpointToHost({ model })
    const before = model.out.weight.tolistSync()
    await expect(copy.restore(new Device(new CpuJs({ memoryLimit: 64 })))).rejects.toThrow(/out of memory/)
    model.registerBuffer("more", zeros(1), { persistent: false })
    await expect(copy.restore(new Device(new CpuJs()))).rejects.toThrow(FormatError)
    expect(model.out.weight.device).toBe(home)
    expect(model.out.weight.tolistSync()).toEqual(before)
  })
})
