// The browser run itself: it finds what is wrong in a page, holds pages to their policy, and tells faults from absence.
import { fileURLToPath } from "node:url"
import { afterAll, describe, expect, test } from "vitest"
import { openBrowser, type OpenBrowser } from "./browser.js"
import { isolatedHeaders, plainHeaders, serve } from "./server.js"
import { bundlePage, NotOpened, openSession } from "./session.js"

const pageOf = (name: string): URL => new URL(`../../test/pages/${name}.ts`, import.meta.url)
const filesOf = (name: string) => bundlePage(fileURLToPath(pageOf(name)))
const patience = { timeout: 120_000 }

// Where there is no browser these are skipped, and `npm test` lists them.
const browser = await openBrowser().catch((error: unknown) => {
  if (process.env.CI === "true") throw error
  return null
})

describe.skipIf(browser === null)("in a page", () => {
  afterAll(() => browser?.close())
  describeFindings()
  describePolicy(browser as OpenBrowser)
})

function describeFindings(): void {
  test("wrong kernels and leaks are found, by the names of their cases", patience, async () => {
    const only = ["kernels", "leaks"]
    const session = await openSession(await filesOf("wrong"), { isolated: true, only })
    try {
      expect(session.facts).toMatchObject({ isolated: true, collects: true })
      expect(session.facts.plan.map(({ check }) => check)).toEqual(only)
      const kernels = await session.run("kernels")
      expect(kernels.length).toBeGreaterThan(0)
      expect(kernels.filter((text) => !/^kernels (scan|cum)/.test(text))).toEqual([])
      expect(await session.run("leaks")).toContainEqual(expect.stringMatching(/buffers are still reachable/))
      expect(await session.finish()).toEqual({ leftOver: [], report: null })
    } finally {
      await session.close()
    }
  })

  test("a device that cannot be opened is told from a faulty page", patience, async () => {
    const absent = openSession(await filesOf("absent"), { isolated: true })
    await expect(absent).rejects.toThrow(NotOpened)
    await expect(absent).rejects.toThrow("there is no such device")
    const unsuited = openSession(await filesOf("strict"), { isolated: false })
    await expect(unsuited).rejects.not.toThrow(NotOpened)
    await expect(unsuited).rejects.toThrow("its script must call servePage")
    await expect(openSession(new Map(), { isolated: true, only: ["speed"] })).rejects.toThrow(
      "unknown check: got speed",
    )
  })
}

function describePolicy(opened: OpenBrowser): void {
  test.each([
    ["without isolation", plainHeaders, false],
    ["with isolation", isolatedHeaders, true],
  ])("a page %s may do what its policy says, and no more", patience, async (_, headers, isolated) => {
    const site = await serve(await filesOf("strict"), headers)
    try {
      const page = await opened.open(site.url)
      await expect
        .poll(() => page.evaluate("globalThis.allowed"), { timeout: 20_000 })
        .toEqual({ inlineScript: false, blobWorker: isolated, elsewhere: false, sharedMemory: isolated, wasm: true })
      expect(await page.evaluate("crossOriginIsolated")).toBe(isolated)
      // Every refusal is heard of, so a run without complaints had none. Some are spoken of twice.
      const refusals = page.complaints().filter((text) => /Content Security Policy/.test(text))
      expect(refusals.length).toBeGreaterThanOrEqual(isolated ? 2 : 3)
      expect(page.complaints()).toEqual([])
    } finally {
      await site.close()
    }
  })
}

test("a page that needs Node does not bundle", async () => {
  await expect(bundlePage(fileURLToPath(new URL("files.ts", import.meta.url)))).rejects.toThrow(/node:fs/)
})
