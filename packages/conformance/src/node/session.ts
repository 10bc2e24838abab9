// The suite in a page of Chromium, as seen from outside: bundles the page's script, serves it, opens it and drives it.
import { basename, extname } from "node:path"
import { pickChecks } from "../checks/index.js"
import type { PageFacts, PageSuite } from "../page.js"
import { openBrowser, type OpenBrowser, type OpenPage } from "./browser.js"
import { readGoldens } from "./files.js"
import { type Files, htmlFor, isolatedHeaders, plainHeaders, serve } from "./server.js"

/** How a session is opened. */
export interface SessionOptions {
  /** Cross-origin isolated, with workers from blobs; or neither. */
  readonly isolated: boolean
  /** More flags for Chromium. */
  readonly flags?: readonly string[]
  /** Run only these checks. */
  readonly only?: readonly string[]
}

/** The browser or the device in it cannot be had on this machine: what a run may report instead of failing. */
export class NotOpened extends Error {
  override readonly name = "NotOpened"
}

/** A suite that waits in its page. */
export interface Session {
  /** Major version of the browser. */
  readonly version: number
  readonly facts: PageFacts
  run(check: string): ReturnType<PageSuite["run"]>
  finish(): ReturnType<PageSuite["close"]>
  /** What reached the page's console as a warning or error since last asked; breaches of its security policy do. */
  complaints(): string[]
  close(): Promise<void>
}

/** Bundles the page as an app would be: for browsers, split, minified; Node's modules are refused. Adds the golden values. */
export async function bundlePage(entry: string): Promise<Files> {
  const { build } = await import("esbuild")
  const { outputFiles } = await build({
    entryPoints: [entry],
    outdir: "/",
    bundle: true,
    splitting: true,
    minify: true,
    write: false,
    format: "esm",
    platform: "browser",
    target: "es2022",
    logLevel: "silent",
  })
  return new Map<string, Uint8Array | string>([
    ...outputFiles.map(({ path, contents }) => [`/${basename(path)}`, contents] as const),
    ["/index.html", htmlFor(`/${basename(entry, extname(entry))}.js`)],
    ["/goldens.safetensors", await readGoldens()],
  ])
}

/** Calls a method of the page's suite. */
const call = <T>(page: OpenPage, method: keyof PageSuite, ...args: unknown[]): Promise<T> =>
  page.evaluate<T>(`rondoSuite.${method}(${args.map((arg) => JSON.stringify(arg)).join(", ")})`)

async function orNotOpened<T>(promise: Promise<T>): Promise<T> {
  try {
    return await promise
  } catch (error) {
    throw new NotOpened((error as Error).message, { cause: error })
  }
}

async function openSuite(browser: OpenBrowser, url: string, only?: readonly string[]) {
  const page = await browser.open(url)
  if (!(await page.evaluate<boolean>("'rondoSuite' in globalThis")))
    throw new Error(["the page has no suite: its script must call servePage", ...page.complaints()].join("\n"))
  return { page, facts: await orNotOpened(call<PageFacts>(page, "open", ...(only ? [only] : []))) }
}

/** Opens the page. Throws a {@link NotOpened} if browser or device cannot be had, and other errors for faulty pages and names. */
export async function openSession(files: Files, { isolated, flags, only }: SessionOptions): Promise<Session> {
  pickChecks(only)
  const browser = await orNotOpened(openBrowser(flags))
  const site = await serve(files, isolated ? isolatedHeaders : plainHeaders)
  const close = async (): Promise<void> => {
    await browser.close()
    await site.close()
  }
  try {
    const { page, facts } = await openSuite(browser, site.url, only)
    return {
      version: browser.version,
      facts,
      run: (check) => call(page, "run", check),
      finish: () => call(page, "close"),
      complaints: page.complaints,
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}
