// For the tests of this backend: its device, or the one test that says why there is none.
import { CpuJs } from "@rondo/backend-cpu-js"
import { type Subject, subjectOf as subjectFrom } from "@rondo/kernel-tests"
import { afterAll, beforeAll, describe, it } from "vitest"
import { WebGpu } from "../src/backend.js"
import { gpuDTypes } from "../src/types.js"

/** True if the environment says that this backend must be there: `REQUIRE_BACKENDS=webgpu`, or `all`. */
function isRequired(): boolean {
  const { process } = globalThis as { process?: { env: Record<string, string | undefined> } }
  const wanted = (process?.env.REQUIRE_BACKENDS ?? "").split(",").map((part) => part.trim())
  return wanted.includes("webgpu") || wanted.includes("all")
}

/** It must outlive everything that is made from it. */
let dawn: GPU | null = null

/**
 * Dawn, but workgroup memory starts as it is. As Dawn comes, it begins with zeros, which no kernel counts on, and which makes SwiftShader
 * take fifty times as long to compile. The conformance suite runs on Dawn as it comes.
 */
async function makeDawn(): Promise<GPU> {
  const { create, globals } = await import("webgpu")
  Object.assign(globalThis, globals)
  return create(["enable-dawn-features=disable_workgroup_init"])
}

/**
 * The device for a test file, or null if there is none: then one test stands in for the file, whose name says why. That test
 * fails where the environment requires the backend.
 */
export async function openForTest(): Promise<WebGpu | null> {
  try {
    return await WebGpu.open({ gpu: (dawn ??= await makeDawn()) })
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    it(`could not run: ${reason}`, () => {
      if (isRequired()) throw error
    })
    return null
  }
}

/** For the shared cases. The device is closed after those of the file. */
export function subjectOf(device: WebGpu): Subject {
  afterAll(() => device.close())
  return subjectFrom({ devices: [device], reference: new CpuJs(), dtypes: gpuDTypes, slow: true, doubles: false })
}

/** Cases twice: with the kernels for GPUs, and with those for adapters on which threads should not wait for each other. */
export function bothForms({ gpu }: WebGpu, cases: () => void): void {
  for (const barriers of [true, false]) {
    describe(`${barriers ? "with" : "without"} barriers`, () => {
      beforeAll(() => void (gpu.barriers = barriers))
      cases()
    })
  }
}

/** Runs `body` as if the adapter had other limits. */
export async function limited({ gpu }: WebGpu, limits: object, body: () => Promise<void>): Promise<void> {
  const own = gpu.device
  const before = own.limits
  const set = (value: object) => Object.defineProperty(own, "limits", { configurable: true, writable: true, value })
  const rest: Record<string, number> = {}
  for (const name in before) rest[name] = before[name as keyof GPUSupportedLimits] as number
  set({ ...rest, ...limits })
  try {
    await body()
  } finally {
    set(before)
  }
}

/** Makes the device say that it has no more memory, once: `wait` milliseconds after everything else that it has to say. */
export function refuseOnce({ gpu }: WebGpu, wait = 0): void {
  const raw = gpu.device
  const pop = raw.popErrorScope.bind(raw)
  raw.popErrorScope = async () => {
    raw.popErrorScope = pop
    await pop()
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait))
    return new GPUOutOfMemoryError("none left")
  }
}
