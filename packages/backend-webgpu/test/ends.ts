// A program that uses the device and ends without closing it: run by a test in a process of its own.
import { e } from "@rondo/backend"
import { WebGpu } from "../src/backend.js"

const backend = await WebGpu.open()
const storage = backend.alloc(4)
backend.write(storage, new Float32Array([1]))
const view = { storage, dtype: "float32", shape: [1], strides: [1], offset: 0 } as const
const x = e.input(0, "float32")
backend.run({ kind: "map", exprs: [e.add(x, x)] }, [view], [view])
process.stdout.write(`${new Float32Array(await backend.read(storage, 0, 4))[0]}\n`)
