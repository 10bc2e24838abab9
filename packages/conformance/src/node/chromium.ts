// Binds the suite in a page of headless Chromium to vitest: one test for each check, and the report when all are done.
import { fileURLToPath } from "node:url"
import { afterAll, describe, expect, test } from "vitest"
import { isRequired, writeCouldNotRun, writeReport } from "./files.js"
import { missing, raise } from "./outcome.js"
import { bundlePage, NotOpened, openSession, type Session } from "./session.js"

export { swiftshaderFlags } from "./browser.js"

/** Options of {@link describeBackendInChromium}. */
export interface ChromiumOptions {
  /** The backend's name. The run is called `<name>-chromium`, or `<name>-chromium-plain` without isolation. */
  readonly name: string
  /**
   * True (the default): the page is cross-origin isolated and may start workers from blobs, so it can have threads. False:
   * neither. Its content security policy is strict in both.
   */
  readonly isolated?: boolean
  /** More flags for Chromium, as {@link swiftshaderFlags}. */
  readonly flags?: readonly string[]
  /** Run only these checks. */
  readonly only?: readonly string[]
  /** Fail if the browser or the backend cannot be had. Default: whether `REQUIRE_BACKENDS` names the run. Otherwise it is reported as not run. */
  readonly required?: boolean
  /** Write `reports/conformance-<run>.json`. Default true. */
  readonly report?: boolean
}

/** The slowest check takes seconds; on a busy machine with few cores, minutes. */
const patience = { timeout: 300_000 }

/**
 * Registers the whole suite for one backend in a page of headless Chromium. Call it at the top level of a test file.
 * `page` is the page's script, which calls `servePage`; it is bundled by esbuild, without polyfills. It needs the packages
 * `esbuild` and `playwright-core`, and a Chromium: the program that `CHROMIUM_PATH` names, an installed one, or the
 * package `@sparticuz/chromium`.
 *
 * @example
 * ```ts no-run
 * // my-backend.chromium.test.ts
 * import { describeBackendInChromium } from "@rondo/conformance/chromium"
 *
 * describeBackendInChromium(new URL("./my-backend.page.ts", import.meta.url), { name: "my-backend" })
 * ```
 */
export function describeBackendInChromium(page: URL, options: ChromiumOptions): void {
  const { isolated = true } = options
  const name = `${options.name}-chromium${isolated ? "" : "-plain"}`
  const required = options.required ?? isRequired(name)
  describe(`conformance of ${name}`, async () => {
    // A page that cannot be bundled is a fault, however few browsers there are.
    const files = await bundlePage(fileURLToPath(page))
    let session: Session
    try {
      session = await openSession(files, { ...options, isolated })
    } catch (error) {
      if (!(error instanceof NotOpened)) throw error
      missing(name, required, error)
      return
    }
    writeCouldNotRun(name, [])
    const title = `${options.name} (Chromium ${session.version})`
    register(session, { ...options, name, isolated, title })
  })
}

interface Run extends ChromiumOptions {
  readonly isolated: boolean
  /** The name in tables. */
  readonly title: string
}

function register(session: Session, { name, title, isolated, report = true }: Run): void {
  const { facts } = session
  test("the page is what the run is about, and can collect garbage", () => {
    expect({ isolated: facts.isolated, collects: facts.collects }).toEqual({ isolated, collects: true })
  })
  for (const { check, cases } of facts.plan) {
    test(check, patience, async () => raise(await session.run(check), cases, 40))
  }
  test("every deviation is needed", async () => {
    const end = await session.finish()
    if (end.report && report) writeReport({ ...end.report, backend: title }, name)
    expect(end.leftOver).toEqual([])
  })
  test("nothing reached the page's console, and nothing was against its content security policy", () => {
    expect(session.complaints()).toEqual([])
  })
  afterAll(() => session.close())
}
