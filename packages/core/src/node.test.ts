// Files in Node: atomic writing under killed processes and injected failures, reading in pieces.
import { spawn } from "node:child_process"
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs" // prettier-ignore
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { FormatError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { openSafetensors, tensor, use } from "./index.js"
import {
  loadCheckpointFile,
  loadSafetensorsFile,
  openFile,
  saveCheckpointFile,
  saveSafetensorsFile,
  writeFileAtomic,
} from "./node.js"

let folder: string
let path: string
const old = new TextEncoder().encode("the previous file, whole")

beforeAll(() => {
  use(new CpuJs())
})
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "rondo-node-"))
  path = join(folder, "run.safetensors")
  writeFileSync(path, old)
})
afterEach(() => {
  rmSync(folder, { recursive: true, force: true })
})

/** Writes 64 chunks of 1,000 bytes and is killed before chunk `at`: no handler runs, nothing is flushed. */
function killedAt(at: number): Promise<NodeJS.Signals | null> {
  const program = `
    import { writeFileAtomic } from ${JSON.stringify(fileURLToPath(new URL("./node.ts", import.meta.url)))}
    async function* chunks() {
      for (let i = 0; i < 64; i++) {
        if (i === ${at}) process.kill(process.pid, "SIGKILL")
        yield new Uint8Array(1000).fill(i)
      }
      if (${at} === 64) process.kill(process.pid, "SIGKILL")
    }
    await writeFileAtomic(${JSON.stringify(path)}, chunks())`
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program], {
      stdio: "inherit",
    })
    child.on("close", (_, signal) => resolve(signal))
  })
}

describe("writeFileAtomic", () => {
  it.each([0, 1, 37, 64])("a process killed at chunk %i of 64 leaves the previous file whole", async (at) => {
    expect(await killedAt(at)).toBe("SIGKILL")
    expect(new Uint8Array(readFileSync(path))).toEqual(old)
    // The next write is not in the way of what was left behind.
    await writeFileAtomic(path, new Uint8Array([1]))
    expect([...readFileSync(path)]).toEqual([1])
  })
  it("a process that is not killed writes it all", async () => {
    expect(await killedAt(65)).toBeNull()
    expect(readFileSync(path)).toHaveLength(64_000)
    expect(readdirSync(folder)).toEqual(["run.safetensors"])
  })
  it("a failure at any byte leaves the previous file and no other", async () => {
    for (let bytes = 0; bytes < 40; bytes++) {
      const failing = function* () {
        for (let i = 0; i < bytes; i++) yield new Uint8Array([i])
        throw new Error("no more")
      }
      await expect(writeFileAtomic(path, failing())).rejects.toThrow("no more")
      expect(new Uint8Array(readFileSync(path))).toEqual(old)
      expect(readdirSync(folder)).toEqual(["run.safetensors"])
    }
  })
  it("a failure of the rename cleans up", async () => {
    const taken = join(folder, "taken")
    mkdirSync(join(taken, "by a folder"), { recursive: true })
    await expect(writeFileAtomic(taken, old)).rejects.toThrow()
    expect(readdirSync(folder).sort()).toEqual(["run.safetensors", "taken"])
    await expect(writeFileAtomic(join(folder, "none", "x"), old)).rejects.toThrow(/ENOENT/)
  })
  it("writes bytes and nothing else", async () => {
    for (const bad of ["text", ["a"], [new Uint8Array([1]), null], [[1, 2]]] as never[]) {
      await expect(writeFileAtomic(path, bad)).rejects.toThrow(/got \w+, expected Uint8Array/)
      expect(new Uint8Array(readFileSync(path))).toEqual(old)
    }
    expect(readdirSync(folder)).toEqual(["run.safetensors"])
  })
  it("takes names as long as the file system does", async () => {
    const long = join(folder, `${"é".repeat(120)}.bin`)
    await writeFileAtomic(long, new Uint8Array([1]))
    expect([...readFileSync(long)]).toEqual([1])
    expect(readdirSync(folder)).toHaveLength(2)
  })
  it("keeps the mode, and what a link points to", async () => {
    chmodSync(path, 0o640)
    const link = join(folder, "latest")
    symlinkSync(path, link)
    await writeFileAtomic(link, [new Uint8Array([7]), new Uint8Array([8])])
    expect([...readFileSync(path)]).toEqual([7, 8])
    expect(statSync(path).mode & 0o777).toBe(0o640)
    expect(existsSync(link)).toBe(true)
  })
})

describe("files", () => {
  it("of tensors are written and read, whole and in part", async () => {
    const w = tensor([[1, 2], [3, 4]]) // prettier-ignore
    await saveSafetensorsFile(path, { w, i: tensor([5n]) }, { a: "b" })
    const all = await loadSafetensorsFile(path)
    expect([all.w.tolistSync(), all.i.tolistSync()]).toEqual([w.tolistSync(), [5n]])
    expect(Object.keys(await loadSafetensorsFile(path, { names: ["i"] }))).toEqual(["i"])
    const file = await openFile(path)
    const reader = await openSafetensors(file)
    expect([reader.metadata, (await reader.read("w")).shape]).toEqual([{ a: "b" }, [2, 2]])
    await expect(file.read(file.size - 1, 2)).rejects.toThrow(FormatError)
    await file.close()
    await expect(loadSafetensorsFile(join(folder, "none"))).rejects.toThrow(/ENOENT/)
  })
  it("of checkpoints are written and read; what cannot be saved leaves the last one", async () => {
    let epoch = 4
    const loader = {
      stateDict: () => ({ epoch }),
      loadStateDict: (state: { epoch: number }) => void (epoch = state.epoch),
    }
    await saveCheckpointFile(path, { loader, extra: "x" })
    await expect(saveCheckpointFile(path, { loader, extra: () => 1 })).rejects.toThrow(/cannot be saved/)
    epoch = 0
    expect([await loadCheckpointFile(path, { loader }), epoch]).toEqual([{ extra: "x" }, 4])
    writeFileSync(path, old)
    await expect(loadCheckpointFile(path, { loader })).rejects.toThrow(FormatError)
  })
})
