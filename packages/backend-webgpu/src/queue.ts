// The queue: dispatches are collected into batches of commands and submitted at the right moments. Pipelines, bind groups and
// parameters are cached or pooled. Knows no kernel.
//
// When a batch is submitted. An idle GPU gets its first commands early, then batches grow with the number of submissions that
// it has not finished: few large ones cost less than many small ones, and a queue that is far ahead gains nothing by more.
// Synchronous code cannot wait for the GPU, so the depth is bounded by what it has to read: a loop that awaits its loss is
// never more than a step ahead.
import { DeviceError, ValueError } from "@rondo/backend"
import { declareSlots, type SlotKind } from "./bindings.js"
import type { Health } from "./health.js"
import type { Block } from "./memory.js"

/** A compiled shader. */
export interface Program {
  readonly name: string
  readonly pipeline: GPUComputePipeline
  readonly layout: GPUBindGroupLayout
  readonly key: number
  /** Why the device refused it: known some time after it was made. */
  failure: DeviceError | null
}

/** What a shader is made of. */
export interface ShaderSource {
  /** Names the operation in error messages. */
  readonly name: string
  readonly kinds: readonly SlotKind[]
  /** True if it calls functions of subgroups. */
  readonly subgroups?: boolean
  /** Functions and the entry point `main`; slots and parameters are declared for it. */
  readonly code: string
}

/** Bytes of parameters that one dispatch may have. */
export const paramBytes = 1024
/** Parameters lie at multiples of this, the most that WebGPU lets a device ask for. */
const paramStep = 256
/** Bytes of parameters in one batch. */
const uniformBytes = 256 * 1024

/** Dispatches of a batch by the number of unfinished submissions; the last entry holds for more. */
const batchSizes: readonly number[] = [32, 64, 128, 256]

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
  /** Submissions that the device has not finished, as far as this thread was told. */
  unfinished = 0
  private readonly health: Health
  private encoder: GPUCommandEncoder | null = null
  private pass: GPUComputePassEncoder | null = null
  private inBatch = 0
  private paramsUsed = 0
  /** What the batch runs, for error messages. */
  private readonly running = new Set<Program>()
  private readonly uniform: GPUBuffer
  private readonly staging = new Uint32Array(uniformBytes / 4)
  private readonly programs = new Map<string, Program>()
  private readonly layouts = new Map<string, GPUBindGroupLayout>()
  private groups = new Map<string, GPUBindGroup>()

  constructor(device: GPUDevice, health: Health) {
    this.device = device
    this.health = health
    this.uniform = device.createBuffer({
      label: "parameters",
      // Bindings have one size: that of the last parameters goes beyond them.
      size: uniformBytes + paramBytes,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    })
  }

  /** The program under this key, compiled from `make` at the first call. */
  program(key: string, make: () => ShaderSource): Program {
    let made = this.programs.get(key)
    if (!made) this.programs.set(key, (made = this.compile(make())))
    return made
  }

  private compile({ name, kinds, code, subgroups }: ShaderSource): Program {
    const { device } = this
    const layout = this.layoutFor(kinds)
    const refuse = (message: string): DeviceError =>
      (program.failure = new DeviceError(`${name}: the device refused the kernel: ${message}`))
    const pipeline = this.health.scope(
      "validation",
      () => {
        const enables = subgroups ? "enable subgroups;\n" : ""
        const module = device.createShaderModule({ label: name, code: enables + preamble(kinds) + code })
        return device.createComputePipeline({
          label: name,
          layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
          compute: { module, entryPoint: "main" },
        })
      },
      refuse,
    )
    const program: Program = { name, pipeline, layout, key: this.programs.size, failure: null }
    return program
  }

  private layoutFor(kinds: readonly SlotKind[]): GPUBindGroupLayout {
    const reads = (kind: SlotKind): boolean => kind === "r" || kind === "q"
    const key = kinds.map((kind) => (reads(kind) ? "r" : "w")).join("")
    let layout = this.layouts.get(key)
    if (!layout) {
      const visibility = GPUShaderStage.COMPUTE
      layout = this.device.createBindGroupLayout({
        entries: [
          { binding: 0, visibility, buffer: { type: "uniform", hasDynamicOffset: true, minBindingSize: paramBytes } },
          ...kinds.map((kind, i): GPUBindGroupLayoutEntry => {
            const type = reads(kind) ? "read-only-storage" : "storage"
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
    if (program.failure) throw program.failure
    const bytes = Math.ceil((params.length * 4) / paramStep) * paramStep
    if (bytes > paramBytes) {
      throw new DeviceError(`${program.name}: ${params.length} parameters, expected at most ${paramBytes / 4}`)
    }
    const most = batchSizes[Math.min(this.unfinished, batchSizes.length - 1)]
    if (this.inBatch >= most || this.paramsUsed + bytes > uniformBytes) this.flush()
    this.stage(program, params)
    const pass = (this.pass ??= this.commands().beginComputePass())
    pass.setPipeline(program.pipeline)
    pass.setBindGroup(0, this.groupFor(program, blocks), [this.paramsUsed])
    pass.dispatchWorkgroups(...groups)
    for (const block of blocks) block.lastBatch = this.batch
    this.running.add(program)
    this.paramsUsed += bytes
    this.inBatch++
    this.dispatches++
  }

  private stage({ name }: Program, params: readonly number[]): void {
    const first = this.paramsUsed / 4
    for (let i = 0; i < params.length; i++) {
      // Views that are spread out over dims of stride 0 have no limit; what wraps would be too small a number in silence.
      if (params[i] > 0xffffffff) {
        throw new ValueError(
          `${name}: too many elements: got ${params[i]}, expected at most ${0xffffffff}; work on smaller parts`,
        )
      }
      this.staging[first + i] = params[i]
    }
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

  /** Buffers are about to be destroyed: submits what may use them, and forgets bind groups. */
  letGo(): void {
    this.flush()
    this.groups.clear()
  }

  /** Copies the first bytes of one block to another. */
  copy(from: Block, to: Block, bytes: number): void {
    this.copies().copyBufferToBuffer(from.buffer, 0, to.buffer, 0, Math.ceil(bytes / 4) * 4)
    from.lastBatch = to.lastBatch = this.batch
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
    const { encoder, device } = this
    this.encoder = null
    if (this.paramsUsed > 0) device.queue.writeBuffer(this.uniform, 0, this.staging, 0, this.paramsUsed / 4)
    this.inBatch = 0
    this.paramsUsed = 0
    this.batch++
    this.submissions++
    const programs = [...this.running]
    this.running.clear()
    this.health.scope(
      "validation",
      () => device.queue.submit([encoder.finish()]),
      (message) => {
        // Commands of a refused kernel are refused with it; that was told already.
        const names = [...new Set(programs.map(({ name }) => name))].join(", ") || "copy"
        return (
          programs.find(({ failure }) => failure)?.failure ??
          new DeviceError(`${names}: the device refused the commands: ${message}`)
        )
      },
    )
    this.unfinished++
    const done = () => void this.unfinished--
    device.queue.onSubmittedWorkDone().then(done, done)
  }

  /** Submits, waits for what the device has to say about it, and throws what went wrong since the last time. */
  async settle(): Promise<void> {
    this.flush()
    await this.health.settle()
  }
}
