// The queue: dispatches are collected into batches of commands and submitted at the right moments. Pipelines, bind groups and
// parameters are cached or pooled. Knows no kernel.
import { DeviceError, RondoError } from "@rondo/backend"
import { declareSlots, type SlotKind } from "./bindings.js"
import type { Block } from "./memory.js"

/** A compiled shader. */
export interface Program {
  readonly pipeline: GPUComputePipeline
  readonly layout: GPUBindGroupLayout
  readonly key: number
}

/** What a shader is made of. */
export interface ShaderSource {
  /** Names the operation in error messages. */
  readonly name: string
  readonly kinds: readonly SlotKind[]
  /** Functions and the entry point `main`; slots and parameters are declared for it. */
  readonly code: string
}

/** Bytes of parameters that one dispatch may have. */
export const paramBytes = 1024
const mostDispatches = 128
const uniformBytes = mostDispatches * paramBytes

/** Element `index` of the parameters, as a u32 expression. */
export const param = (index: number): string => `params[${index >> 2}].${"xyzw"[index & 3]}`

const preamble = (kinds: readonly SlotKind[]): string => `
@group(0) @binding(0) var<uniform> params: array<vec4<u32>, ${paramBytes / 16}>;
var<private> zero_bits: u32 = 0u;
${declareSlots(kinds)}
`

/** Collects and submits work for one device. */
export class Queue {
  readonly device: GPUDevice
  /** Number of the batch that is being collected. */
  batch = 0
  /** Dispatches since the device was opened. */
  dispatches = 0
  submissions = 0
  private encoder: GPUCommandEncoder | null = null
  private pass: GPUComputePassEncoder | null = null
  private inBatch = 0
  private readonly uniform: GPUBuffer
  private readonly staging = new Uint32Array(uniformBytes / 4)
  private readonly programs = new Map<string, Program>()
  private readonly layouts = new Map<string, GPUBindGroupLayout>()
  private groups = new Map<string, GPUBindGroup>()
  private failures: Error[] = []
  private checks: Promise<void>[] = []

  constructor(device: GPUDevice) {
    this.device = device
    this.uniform = device.createBuffer({
      label: "parameters",
      size: uniformBytes + paramBytes,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    })
  }

  /** The program under this key, compiled from `make` at the first call. */
  program(key: string, make: () => ShaderSource): Program {
    let made = this.programs.get(key)
    if (!made) {
      const source = make()
      made = { ...this.compile(source), key: this.programs.size }
      this.programs.set(key, made)
    }
    return made
  }

  private compile({ name, kinds, code }: ShaderSource): Omit<Program, "key"> {
    const { device } = this
    const layout = this.layoutFor(kinds)
    this.check(name, () => {
      const module = device.createShaderModule({ label: name, code: preamble(kinds) + code })
      return device.createComputePipeline({
        label: name,
        layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: "main" },
      })
    })
    return { pipeline: this.checked as GPUComputePipeline, layout }
  }
  private checked: unknown = null

  /** Runs `make` inside an error scope; what the device says against it comes out at the next read, naming the operation. */
  private check(name: string, make: () => unknown): void {
    const { device } = this
    device.pushErrorScope("validation")
    this.checked = make()
    const done = device.popErrorScope().then(
      (error) => {
        if (error) this.fail(new DeviceError(`${name}: the device refused the kernel: ${error.message}`))
      },
      () => {},
    )
    this.checks.push(done)
  }

  private layoutFor(kinds: readonly SlotKind[]): GPUBindGroupLayout {
    const key = kinds.map((kind) => (kind === "r" ? "r" : "w")).join("")
    let layout = this.layouts.get(key)
    if (!layout) {
      const visibility = GPUShaderStage.COMPUTE
      layout = this.device.createBindGroupLayout({
        entries: [
          { binding: 0, visibility, buffer: { type: "uniform", hasDynamicOffset: true, minBindingSize: paramBytes } },
          ...kinds.map((kind, i): GPUBindGroupLayoutEntry => {
            const type = kind === "r" ? "read-only-storage" : "storage"
            return { binding: i + 1, visibility, buffer: { type } }
          }),
        ],
      })
      this.layouts.set(key, layout)
    }
    return layout
  }

  /** Queues one dispatch. `params` are the bits of the parameters; `groups` workgroups along x, y, z. */
  dispatch(
    program: Program,
    blocks: readonly Block[],
    params: readonly number[],
    groups: readonly [number, number, number],
  ): void {
    if (this.inBatch === mostDispatches) this.flush()
    const offset = this.inBatch * paramBytes
    this.staging.set(params, offset / 4)
    const pass = (this.pass ??= this.commands().beginComputePass())
    pass.setPipeline(program.pipeline)
    pass.setBindGroup(0, this.groupFor(program, blocks), [offset])
    pass.dispatchWorkgroups(...groups)
    for (const block of blocks) block.lastBatch = this.batch
    this.inBatch++
    this.dispatches++
  }

  private groupFor({ layout, key }: Program, blocks: readonly Block[]): GPUBindGroup {
    let name = `${key}`
    for (const block of blocks) name += ` ${block.id}`
    let group = this.groups.get(name)
    if (!group) {
      const buffers = blocks.map(({ buffer }, i) => ({ binding: i + 1, resource: { buffer } }))
      const entries = [{ binding: 0, resource: { buffer: this.uniform, size: paramBytes } }, ...buffers]
      group = this.device.createBindGroup({ layout, entries })
      if (this.groups.size > 8192) this.groups.clear()
      this.groups.set(name, group)
    }
    return group
  }

  /** Forgets bind groups: some buffer was destroyed. */
  forgetGroups(): void {
    this.groups.clear()
  }

  /** The command encoder of this batch, outside any pass. */
  copies(): GPUCommandEncoder {
    this.endPass()
    return this.commands()
  }
  private commands(): GPUCommandEncoder {
    return (this.encoder ??= this.device.createCommandEncoder())
  }
  private endPass(): void {
    this.pass?.end()
    this.pass = null
  }

  /** Submits what was collected. */
  flush(): void {
    if (!this.encoder) return
    this.endPass()
    const encoder = this.encoder
    this.encoder = null
    if (this.inBatch > 0) {
      this.device.queue.writeBuffer(this.uniform, 0, this.staging, 0, (this.inBatch * paramBytes) / 4)
    }
    this.inBatch = 0
    this.batch++
    this.submissions++
    this.check("submit", () => this.device.queue.submit([encoder.finish()]))
  }

  /** Remembers an error for the next read. */
  fail(error: Error): void {
    this.failures.push(error)
  }

  /** Submits, waits for what the device has to say about it, and throws the first error since the last time. */
  async settle(): Promise<void> {
    this.flush()
    const checks = this.checks
    this.checks = []
    await Promise.all(checks)
    const [first] = this.failures
    this.failures = []
    if (first) throw first instanceof RondoError ? first : new DeviceError(String(first))
  }
}
