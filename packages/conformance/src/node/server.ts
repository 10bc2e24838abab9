// A small web server for pages under test: files from memory, under the headers of a strict site. It is no general server.
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"

/** Path, beginning with a slash, to contents. */
export type Files = ReadonlyMap<string, Uint8Array | string>

/** What a careful site allows: its own scripts, WebAssembly, its own data. No inline script, no `eval`. */
const policy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'"

/** The headers of a page without threads: no isolation, no workers. */
export const plainHeaders: Readonly<Record<string, string>> = { "content-security-policy": policy }

/** The headers of a page with threads: cross-origin isolated, workers from blobs. */
export const isolatedHeaders: Readonly<Record<string, string>> = {
  "content-security-policy": `${policy}; worker-src blob:`,
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
}

/** A page that runs one script. */
export const htmlFor = (script: string): string =>
  `<!doctype html><meta charset="utf-8"><title>Rondo</title><script type="module" src="${script}"></script>`

const types: Readonly<Record<string, string>> = {
  css: "text/css",
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  json: "application/json",
  map: "application/json",
  wasm: "application/wasm",
}

/** A server that is up. */
export interface Site {
  readonly url: string
  close(): Promise<void>
}

/** Serves files on a free port of this machine; `/` is `/index.html`. The address is one that browsers hold to be secure. */
export async function serve(files: Files, headers: Readonly<Record<string, string>>): Promise<Site> {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost")
    const path = pathname === "/" ? "/index.html" : pathname
    const body = files.get(path)
    const type = types[path.slice(path.lastIndexOf(".") + 1)] ?? "application/octet-stream"
    const own = { ...headers, "content-type": body === undefined ? "text/plain" : type, "cache-control": "no-store" }
    response.writeHead(body === undefined ? 404 : 200, own).end(body ?? `${path} is not here`)
  })
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject)
    server.listen(0, "127.0.0.1", resolve)
  })
  return {
    url: `http://localhost:${(server.address() as AddressInfo).port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        // A browser keeps its connections open; nobody waits for them.
        server.closeAllConnections()
      }),
  }
}
