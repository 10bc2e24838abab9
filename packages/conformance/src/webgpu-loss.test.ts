// A training run on a GPU that is lost under it: the error is typed, and the run goes on from its host copy on a new device.
import { DeviceError, type DeviceLost } from "@rondo/backend"
import { WebGpu } from "@rondo/backend-webgpu"
import { checkpointToHost, Device, manualSeed, randn, use } from "@rondo/core"
import { Linear, mseLoss } from "@rondo/nn"
import { Adam } from "@rondo/optim"
import { expect, test } from "vitest"

const required = ["webgpu", "all"].some((name) => (process.env.REQUIRE_BACKENDS ?? "").split(",").includes(name))
const told: DeviceLost[] = []
const opened = await WebGpu.open({ onLost: (lost) => told.push(lost) }).catch((error: unknown) => error as Error)

function makeRun() {
  manualSeed(2)
  const model = new Linear(3, 1)
  return { model, optimizer: new Adam(model.parameters(), { lr: 0.05 }) }
}
async function train({ model, optimizer }: ReturnType<typeof makeRun>, steps: number): Promise<number[]> {
  const losses: number[] = []
  for (let i = 0; i < steps; i++) {
    const x = randn(8, 3)
    const loss = mseLoss(model.forward(x), x.sum(1, { keepdim: true }))
    optimizer.zeroGrad()
    loss.backward()
    optimizer.step()
    losses.push(await loss.item())
  }
  return losses
}

if (opened instanceof WebGpu) {
  test("a run goes on from its host copy when the GPU is lost", { timeout: 60_000 }, async () => {
    const second = await WebGpu.open()
    use(new Device(second))
    const wanted = await train(makeRun(), 6)
    use(new Device(opened))
    const run = makeRun()
    await train(run, 2)
    const copy = await checkpointToHost({ ...run, extra: { step: 2 } })
    await train(run, 1)
    const waiting = expect(train(run, 3)).rejects.toThrow(DeviceError)
    opened.gpu.device.destroy()
    await waiting
    expect(told).toEqual([await opened.lost])
    expect(() => randn(2)).toThrow(/^webgpu: the device was lost/)
    const next = use(new Device(second))
    expect(await copy.restore(next)).toEqual({ extra: { step: 2 } })
    expect(await train(run, 4)).toEqual(wanted.slice(2))
    await second.close()
  })
} else {
  test(`could not run: ${opened.message}`, () => {
    if (required) throw opened
  })
}
