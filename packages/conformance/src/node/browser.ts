// Starts Chromium and opens pages in it, keeping what they complain of. Knows nothing of suites.
import { findChromium } from "./executable.js"

export { softwareVulkan } from "./executable.js"
export { type Files, htmlFor, serve, type Site } from "./server.js"

/** What Chromium is always started with: quiet on the network, and garbage can be collected from the page. */
const baseFlags = [
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--js-flags=--expose-gc",
]

/** Flags with which Chromium has WebGPU on a machine without a GPU: SwiftShader, which is in the browser. */
export const swiftshaderFlags: readonly string[] = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"]

/** A page that is open. */
export interface OpenPage {
  /** Evaluates an expression there and waits for its promise; the value is plain data. */
  evaluate<T>(expression: string): Promise<T>
  /** What reached the page's console as a warning or an error, and errors that nobody caught, since last asked. */
  complaints(): string[]
}

/** A browser that runs. */
export interface OpenBrowser {
  /** Its major version. */
  readonly version: number
  open(url: string): Promise<OpenPage>
  close(): Promise<void>
}

/** Starts a browser. Throws if there is none, or if playwright-core is not installed. */
export async function openBrowser(flags: readonly string[] = []): Promise<OpenBrowser> {
  const { path, env } = await findChromium()
  const { chromium } = await import("playwright-core")
  const browser = await chromium.launch({
    executablePath: path,
    args: [...baseFlags, ...flags],
    env: { ...(process.env as Record<string, string>), ...env },
    // Containers seldom allow it, and the pages are our own.
    chromiumSandbox: false,
  })
  return {
    version: Number.parseInt(browser.version()),
    open: async (url) => {
      const page = await browser.newPage()
      const heard: string[] = []
      page.on("console", (said) => {
        if (["warning", "error"].includes(said.type())) heard.push(`console.${said.type()}: ${said.text()}`)
      })
      page.on("pageerror", (error) => heard.push(String(error)))
      page.on("crash", () => heard.push("the page crashed"))
      await page.goto(url, { waitUntil: "load" })
      return { evaluate: (expression) => page.evaluate(expression), complaints: () => heard.splice(0) }
    },
    close: () => browser.close(),
  }
}
