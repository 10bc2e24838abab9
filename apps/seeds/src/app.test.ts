// The app from its command line: what it says to bad input, that every program's figures hold, that plots are written.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { run } from "./app.js"

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "rondo-seeds-"))
})
afterAll(() => rm(folder, { recursive: true }))

/** Runs the app and gives its exit code and what it wrote. */
async function start(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let [out, err] = ["", ""]
  const streams = { out: { write: (text: string) => (out += text) }, err: { write: (text: string) => (err += text) } }
  return { code: await run(args, streams), out, err }
}
const onReference = (...args: string[]) => start(...args, "--device", "cpu-js", "--out", folder)

describe("bad input: one line, exit code 2", () => {
  test.each([
    [["005"], "'005' is invalid"],
    [["--seed", "-1"], "expected a whole number from 0 to 9007199254740991"],
    [["--seed", "9007199254740992"], "expected a whole number"],
    [["--seed", "1.5"], "expected a whole number"],
    [["--seed"], "argument missing"],
    [["--epochs", "0"], "expected a whole number from 1"],
    [["--nonsense"], "unknown option '--nonsense'"],
    [["000", "--device", "abacus"], 'unknown device: got "abacus"'],
  ])("%j", async (args, text) => {
    const { code, out, err } = await start(...args)
    expect(code).toBe(2)
    expect(out).toBe("")
    expect(err).toContain(text)
    expect(err.trim().split("\n")).toHaveLength(1)
    expect(err).toMatch(/^rondo: /)
  })

  test("a folder that cannot be made", async () => {
    const file = join(folder, "a-file")
    await writeFile(file, "")
    const { code, err } = await start("000", "--device", "cpu-js", "--out", join(file, "plots"))
    expect(code).toBe(2)
    expect(err).toContain("choose another folder with --out")
  })
})

test("--help and --list", async () => {
  const help = await start("--help")
  expect(help.code).toBe(0)
  expect(help.out).toContain("npm start -- 002 --device cpu-js --seed 7")
  const list = await start("--list")
  expect(list.code).toBe(0)
  expect(list.out).toMatch(/forecast +Forecasting real series/)
  expect(list.out).toMatch(/cpu-js +available/)
})

test("000: every figure of the notebook to its last digit", async () => {
  const { code, out } = await onReference("000")
  // The notebook's text itself, so that a mistake in figures.ts cannot agree with a mistake of ours.
  for (const figure of [
    "Hidden           : [[-0.4701929  0.5863904]]",
    "Output of layer  : [[-0.3519801   0.52525216]]",
    "Hidden           : [[-0.88883156  1.2364397 ]]",
    "Output by hand   : [[-0.68424344  0.76074266]]",
    "Hidden           : [[-1.3074701  1.886489 ]]",
    "Output of layer  : [[-0.8649416   0.90466356]]",
  ]) {
    expect(out).toContain(figure)
  }
  expect(out).toContain("9 of 9")
  expect(code).toBe(0)
})

test("001: all of it, with its plots", async () => {
  const { code, out } = await onReference("001")
  expect(code).toBe(0)
  expect(out).toContain("6 of 6 results are as they must be")
  expect(out).toMatch(/0\.5 +linear +0\.50000 +0\.031250/) // 0.5^5
  for (const file of ["gradient-flow.svg", "taming.svg"]) {
    const svg = await readFile(join(folder, file), "utf8")
    expect(svg).toMatch(/^<svg [^>]*xmlns="http:\/\/www.w3.org\/2000\/svg"/)
    expect(svg.match(/<path /g)!.length).toBeGreaterThan(3)
  }
})

test("002: two epochs of every training, as PyTorch's", async () => {
  const { code, out } = await onReference("002", "--epochs", "2")
  expect(code).toBe(0)
  expect(out).toContain("6 of 6 results are as they must be")
  for (const count of [41, 152, 162, 10401, 141]) expect(out).toContain(`${count} parameters`)
})

test("gates: gradients and the first epoch as PyTorch's, with plots; too short for the claim", async () => {
  const { code, out } = await onReference("gates", "--epochs", "1")
  expect(code).toBe(0)
  expect(out).toContain("4 of 4 results are as they must be")
  for (const count of [321, 1233, 929]) expect(out).toContain(`${count} parameters`)
  expect(out).toMatch(/RNN forgets.*shown/)
  for (const file of ["gates.svg", "gates-gradient.svg"]) {
    expect(await readFile(join(folder, file), "utf8")).toMatch(/>GRU</)
  }
})

test("003: losses to four digits, gradients exact", async () => {
  const { code, out } = await onReference("003")
  expect(code).toBe(0)
  expect(out).toMatch(/5 of 5 +0\.1098 +0\.1098 +0\.5605/)
  expect(out).toContain("0.5, 0.25, 0.125,")
})

test("004: every tensor as PyTorch prints it", async () => {
  const { code, out } = await onReference("004")
  expect(code).toBe(0)
  expect(out).toContain("5 of 5 results are as they must be")
  expect(out).toContain("[ 6.8322e-02,  3.5692e-01,  8.6420e-02,  5.7557e-01, -1.8225e-02]")
})

test("another seed has no reference, and says so", async () => {
  const { code, out } = await onReference("004", "003", "--seed", "7", "--quiet")
  expect(code).toBe(0)
  expect(out).toContain("shown")
  expect(out).not.toContain("DIFFERS")
  expect(out).not.toContain("-- ") // quiet: the summary only
})
