/// <reference types="node" />
// Files on Node's file system, for what core reads and writes: the entry `@rondo/core/node`. No browser loads it.
import { randomBytes } from "node:crypto"
import { constants } from "node:fs"
import { open, realpath, rename, stat, unlink } from "node:fs/promises"
import { basename, dirname, join } from "node:path"
import { FormatError, ValueError } from "@rondo/backend"
import {
  type ByteSource,
  type CheckpointContent,
  type CheckpointParts,
  loadCheckpoint,
  type LoadCheckpointOptions,
  type LoadedCheckpoint,
  loadSafetensors,
  type LoadTensorsOptions,
  saveCheckpoint,
  streamSafetensors,
  type Tensor,
  type TensorDict,
} from "./index.js"

// Node reads and writes less than 2 GiB at once.
const most = 2 ** 30

/** An open file that can be read in pieces. Close it, or bind it with `await using`. */
export interface FileSource extends ByteSource, AsyncDisposable {
  close(): Promise<void>
}

/**
 * Opens a file for reading in pieces: for `openSafetensors`, `loadSafetensors`, `loadNpy`, `loadNpz` and `loadCheckpoint`.
 * Errors of the file system pass through.
 *
 * @example
 * ```ts no-run
 * const file = await openFile("model.safetensors")
 * const reader = await openSafetensors(file)
 * const { data } = await reader.read("weight")
 * await file.close()
 * ```
 */
export async function openFile(path: string): Promise<FileSource> {
  const handle = await open(path, "r")
  const { size } = await handle.stat()
  const close = () => handle.close()
  const read = async (offset: number, length: number): Promise<Uint8Array> => {
    const left = size - offset
    if (length > left) {
      throw new FormatError(
        `${path}: truncated: ${length} bytes wanted at byte ${offset}, the file has ${Math.max(left, 0)}`,
      )
    }
    const bytes = new Uint8Array(length)
    let at = 0
    while (at < length) {
      const { bytesRead } = await handle.read(bytes, at, Math.min(length - at, most), offset + at)
      if (bytesRead === 0) throw new FormatError(`${path}: ended at byte ${offset + at} while it was read`)
      at += bytesRead
    }
    return bytes
  }
  return { size, read, close, [Symbol.asyncDispose]: close }
}

/** What can be written: bytes, or chunks of them. */
export type Writable = Uint8Array | AsyncIterable<Uint8Array> | Iterable<Uint8Array> | ReadableStream<Uint8Array>

/**
 * Writes a file such that a crash at any moment leaves either the previous file or the new one, whole: the bytes go to a
 * temporary file in the same folder, which is brought to the disk and then renamed. If it fails, the temporary file is removed
 * and the error passes through; a process that is killed leaves it behind (`.NAME.*.tmp`). Throws a ValueError for anything but
 * bytes.
 *
 * @example
 * ```ts no-run
 * const model = new Linear(2, 1)
 * await writeFileAtomic("run.safetensors", await saveCheckpoint({ model, optimizer: new Adam(model.parameters()) }))
 * ```
 */
export async function writeFileAtomic(path: string, data: Writable): Promise<void> {
  // A link stays a link: what it points to is replaced.
  const target = await realpath(path).catch(() => path)
  const mode = await stat(target).then((found) => found.mode & 0o777, () => undefined) // prettier-ignore
  // File systems end names at 255 bytes.
  const name = Buffer.from(basename(target)).subarray(0, 200).toString().replaceAll("\ufffd", "")
  const temporary = join(dirname(target), `.${name}.${randomBytes(6).toString("hex")}.tmp`)
  const handle = await open(temporary, "wx", mode)
  try {
    try {
      if (mode !== undefined) await handle.chmod(mode)
      for await (const chunk of chunksOf(data)) await writeAll(handle, chunk)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, target)
  } catch (error) {
    await unlink(temporary).catch(() => undefined)
    throw error
  }
  await syncFolder(dirname(target))
}

type Handle = Awaited<ReturnType<typeof open>>

async function writeAll(handle: Handle, chunk: Uint8Array): Promise<void> {
  let at = 0
  while (at < chunk.length) at += (await handle.write(chunk, at, Math.min(chunk.length - at, most))).bytesWritten
}

async function* chunksOf(data: Writable): AsyncGenerator<Uint8Array> {
  if (data instanceof Uint8Array) return yield data
  for await (const chunk of typeof data === "string" ? [data] : (data as AsyncIterable<Uint8Array>)) {
    if (!(chunk instanceof Uint8Array)) {
      throw new ValueError(`writeFileAtomic: got ${chunk === null ? "null" : typeof chunk}, expected Uint8Array`)
    }
    yield chunk
  }
}

/** The new name is on the disk only when the folder is. Some systems cannot do that, and need not. */
async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, constants.O_RDONLY)
    await handle.sync().finally(() => handle.close())
  } catch {
    // Windows opens no folders.
  }
}

/**
 * Writes tensors to a safetensors file, atomically, one tensor at a time.
 *
 * @example
 * ```ts no-run
 * await saveSafetensorsFile("model.safetensors", new Linear(2, 1).stateDict())
 * ```
 */
export async function saveSafetensorsFile(
  path: string,
  tensors: TensorDict,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  await writeFileAtomic(path, streamSafetensors(tensors, metadata))
}

/**
 * Loads tensors, or those that `names` lists, from a safetensors file. Throws as `loadSafetensors`.
 *
 * @example
 * ```ts no-run
 * const model = new Linear(2, 1)
 * model.loadStateDict(await loadSafetensorsFile("model.safetensors"))
 * ```
 */
export async function loadSafetensorsFile(
  path: string,
  options: LoadTensorsOptions = {},
): Promise<Record<string, Tensor>> {
  const file = await openFile(path)
  return loadSafetensors(file, options).finally(() => file.close())
}

/**
 * Writes a checkpoint, atomically. Throws as `saveCheckpoint`; then the file is as it was.
 *
 * @example
 * ```ts no-run
 * const model = new Linear(2, 1)
 * await saveCheckpointFile("run.safetensors", { model, optimizer: new Adam(model.parameters()), extra: { epoch: 4 } })
 * ```
 */
export async function saveCheckpointFile(path: string, content: CheckpointContent): Promise<void> {
  await writeFileAtomic(path, await saveCheckpoint(content))
}

/**
 * Loads a checkpoint from a file. Throws as `loadCheckpoint`; then nothing has changed.
 *
 * @example
 * ```ts no-run
 * const model = new Linear(2, 1)
 * const { extra } = await loadCheckpointFile("run.safetensors", { model, optimizer: new Adam(model.parameters()) })
 * ```
 */
export async function loadCheckpointFile(
  path: string,
  parts: CheckpointParts,
  options: LoadCheckpointOptions = {},
): Promise<LoadedCheckpoint> {
  const file = await openFile(path)
  return loadCheckpoint(file, parts, options).finally(() => file.close())
}
