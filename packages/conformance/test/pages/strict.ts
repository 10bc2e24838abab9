// A page that tries what security policies forbid, and says what went through. There is no suite in it.
const shared = globalThis as { inline?: true; allowed?: Record<string, boolean> }

function inlineScript(): boolean {
  const script = document.createElement("script")
  script.textContent = "globalThis.inline = true"
  document.head.append(script)
  return shared.inline === true
}

const blobWorker = (): Promise<boolean> =>
  new Promise((resolve) => {
    const worker = new Worker(URL.createObjectURL(new Blob(["postMessage(1)"], { type: "text/javascript" })))
    worker.onmessage = () => resolve(true)
    // A refused worker is made all the same, and then fails.
    worker.onerror = () => resolve(false)
  })

const elsewhere = (): Promise<boolean> =>
  fetch("https://localhost:1/").then(
    () => true,
    () => false,
  )

shared.allowed = {
  inlineScript: inlineScript(),
  blobWorker: await blobWorker(),
  elsewhere: await elsewhere(),
  sharedMemory: "SharedArrayBuffer" in globalThis,
  wasm: WebAssembly.validate(new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0])),
}
