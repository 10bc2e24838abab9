// Check: memory comes back. Scopes and dispose free at once; without either the collector frees, also in long loops.
import { DisposedError } from "@rondo/backend"
import { type Device, manualSeed, noGrad, rand, randn, scope, type Tensor, zeros } from "@rondo/core"
import { type Call, opCalls, place, synchronousNames } from "../calls.js"
import { hold } from "../compare.js"
import { gradients } from "../read.js"
import type { Case, Check, Context } from "../suite.js"
import { ungrouped, Watch } from "../watch.js"
import { heldCases } from "./held.js"

const counts = (device: Device): string => {
  const { bytes, buffers } = device.backend.memory()
  return `${buffers} buffers of ${bytes} bytes`
}

/** Forward, backward and everything they make, inside a scope: what is left, and what was thrown. */
function leftBehind(device: Device, call: Call): { readonly left: boolean; readonly text: string } {
  // No finaliser can run in between: there is no await.
  const before = counts(device)
  let refusal: unknown = null
  try {
    scope(() => {
      const tensors = place(call, device, "float32", true)
      gradients(call.run(tensors), tensors)
      return null
    })
  } catch (error) {
    refusal = error
  }
  const after = counts(device)
  const thrown = refusal === null ? "no error" : String(refusal)
  return { left: after !== before, text: `got ${after} after the scope, ${before} before it (${thrown})` }
}

/** Nothing may be left, not even where the call throws. What a device keeps for good is made at its first use: a second one tells. */
function scopeCase(context: Context, name: string): Case {
  const run = (): void => {
    for (const call of opCalls(name)) {
      if (!leftBehind(context.device, call).left) continue
      const { left, text } = leftBehind(context.device, call)
      hold(!left, `${call.label}: ${text}`)
    }
  }
  return { id: "scope frees everything", op: name, dtype: "float32", run }
}

function disposeCase(context: Context): Case {
  const run = (): void => {
    const { device } = context
    const before = counts(device)
    const x = zeros([4, 4], { device })
    const row = x.reshape(16)
    x.dispose()
    x.dispose()
    hold(counts(device) !== before, "memory was freed while a view still shows it")
    let error: unknown = null
    try {
      x.add(1)
    } catch (caught) {
      error = caught
    }
    hold(error instanceof DisposedError, `use after dispose: got ${String(error)}, expected a DisposedError`)
    row.dispose()
    hold(counts(device) === before, `got ${counts(device)} after dispose, ${before} before`)
  }
  return { id: "the last of a tensor and its views frees the memory", op: "dispose", dtype: "float32", run }
}

interface Model {
  readonly weights: readonly Tensor[]
  readonly x: Tensor
}

function modelOn(device: Device): Model {
  manualSeed(3)
  const weights = [randn([8, 16], { device }), randn([16, 4], { device })].map((w) => w.requiresGrad_())
  return { weights, x: rand([5, 8], { device }) }
}

/** One step as a user writes it: no scope, no dispose. */
function step({ weights, x }: Model): Tensor {
  const loss = x.matmul(weights[0]).tanh().matmul(weights[1]).square().mean()
  loss.backward()
  noGrad(() => {
    for (const w of weights) {
      w.sub_((w.grad as Tensor).mul(0.01))
      w.grad = null
    }
  })
  return loss
}

/** Yields to other tasks, as reading a loss does. */
const rest = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0))

/**
 * Lets the device finish, the collector look, and the device free what was found: a queue may hold both. An engine may put
 * finalisers off, by more on a busy machine, so this goes on until `done`. What leaks is held however often one looks.
 */
async function settle(device: Device, collect: () => Promise<void>, done: () => boolean): Promise<void> {
  for (let i = 0; i < 20; i++) {
    await device.backend.sync()
    await collect()
    if (i > 0 && done()) return
  }
}

/** Where memory is the collector's own, no finaliser runs and the device's counter only falls by dispose. */
const counted = (device: Device): boolean => !device.backend.capabilities.hostMemory

function loopCase(context: Context, collect: () => Promise<void>, grouped: boolean): Case {
  const loop = async (): Promise<void> => {
    const { device } = context
    const model = modelOn(device)
    await collect()
    const before = device.backend.memory().buffers
    const watch = new Watch()
    watch.start()
    try {
      for (let i = 0; i < 300; i++) {
        const loss = step(model)
        if (i % 25 !== 0) continue
        await loss.item()
        await rest()
      }
    } finally {
      watch.stop()
    }
    // A step makes about twenty buffers: a leak of one a step would show as three hundred.
    hold(watch.made > 3000, `the loop made ${watch.made} buffers: it does not train`)
    // The last group of small storages may be held by one that lives.
    const more = grouped ? 50 : 10
    const flat = (): boolean =>
      watch.alive() <= more && !(counted(device) && device.backend.memory().buffers > before + more)
    await settle(device, collect, flat)
    hold(watch.alive() <= more, `${watch.alive()} of ${watch.made} buffers are still reachable after 300 steps`)
    const { buffers } = device.backend.memory()
    if (counted(device)) hold(buffers <= before + more, `got ${buffers} buffers after 300 steps, ${before} before them`)
  }
  const run = grouped ? loop : () => ungrouped(loop)
  const how = grouped ? "" : ", each buffer watched by itself"
  return { id: `300 steps without dispose stay flat${how}`, op: "training", dtype: "float32", run }
}

function graphCase(context: Context, collect: () => Promise<void>): Case {
  const look = async (): Promise<void> => {
    const { device } = context
    const x = rand([64], { device, requiresGrad: true })
    const watch = new Watch()
    watch.start()
    // In a function of its own, so that nothing but the loss stays behind on the stack.
    const forward = (): Tensor => x.exp().tanh().mul(x).sum()
    const loss = forward()
    loss.backward()
    watch.stop()
    await settle(device, collect, () => watch.alive() <= 2)
    // The loss and the gradient stay; what the steps between saved must be gone although the loss is held.
    hold(
      watch.alive() <= 2,
      `${watch.alive()} of ${watch.made} buffers are reachable, expected the gradient and the loss`,
    )
    hold(loss.requiresGrad && x.grad !== null, "the loss or the gradient went away")
  }
  return { id: "backward frees what the graph saved", op: "backward", dtype: "float32", run: () => ungrouped(look) }
}

const collected = (context: Context, collect: () => Promise<void>): Case[] => [
  loopCase(context, collect, true),
  loopCase(context, collect, false),
  graphCase(context, collect),
  ...heldCases(context, (done) => settle(context.device, collect, done)),
]

export const leaksCheck: Check = {
  name: "leaks",
  about:
    "Scopes and dispose give memory back at once, also after errors; dropped tensors and passed graphs are collected, and graphs hold what gradients read alone.",
  cases: (context) => [
    ...synchronousNames().map((name) => scopeCase(context, name)),
    disposeCase(context),
    ...(context.collect ? collected(context, context.collect) : []),
  ],
}
