// The program of a worker thread, as text: workers are started from it without a file of their own, so no bundler has to know.
// It is a constant, not a function printed at run time, which minifiers and coverage tools would have changed.
import { importSource, linkMark } from "./imports.js"
import { call, recordsAt, textUnits, thread, words } from "./control.js"

/** Looks so often whether there is work before it sleeps: some 20 microseconds. Waking up takes half as long. */
const mostPolls = 10_000

const program = `
"use strict"
${importSource}
const W = ${JSON.stringify(words)}
const C = ${JSON.stringify(call)}
const T = ${JSON.stringify(thread)}

function serve({ memory, control, id }, drain) {
  const words = new Int32Array(control)
  const records = new Float64Array(control, ${recordsAt})
  const modules = new Map()

  function imported(name) {
    return name.startsWith(${JSON.stringify(linkMark)}) ? functionOf(...name.slice(1).split(" ").map(Number)) : imports[name]
  }

  function functionOf(number, address, bytes, index) {
    let functions = modules.get(number)
    if (!functions) {
      // Growing by nothing shows this thread how large the memory has become.
      if (memory.buffer.byteLength < address + bytes) memory.grow(0)
      // The slice is a copy outside of shared memory, which is what compilers take.
      const module = new WebAssembly.Module(new Uint8Array(memory.buffer, address, bytes).slice())
      const env = { memory }
      for (const { name } of WebAssembly.Module.imports(module)) if (name !== "memory") env[name] = imported(name)
      functions = Object.values(new WebAssembly.Instance(module, { env }).exports)
      modules.set(number, functions)
    }
    return functions[index]
  }

  function say(error) {
    const text = String((error && error.message) || error).slice(0, ${textUnits})
    const at = W.texts + id * W.textWords
    words[at] = text.length
    const units = new Uint16Array(control, (at + 1) * 4, ${textUnits})
    for (let i = 0; i < text.length; i++) units[i] = text.charCodeAt(i)
  }

  function settle(state, value) {
    // A thread that was given up may be late: the slot is no longer its own then.
    Atomics.compareExchange(words, state, C.claimed + id, value)
    Atomics.add(words, W.progress, 1)
    if (Atomics.load(words, W.joining)) Atomics.notify(words, W.progress)
  }

  // A record: [module, its address, its bytes, number of the export, number of arguments, arguments...].
  // False: this thread cannot make the code. The call has not begun, and another thread may take it.
  function perform(state) {
    const at = words[state + 1]
    let run
    try {
      run = functionOf(records[at], records[at + 1], records[at + 2], records[at + 3])
    } catch (error) {
      say(error)
      Atomics.store(words, W.threads + id * W.line, T.withdrawn)
      settle(state, C.ready)
      return false
    }
    const args = []
    for (let i = 0; i < records[at + 4]; i++) args.push(records[at + 5 + i])
    let result = C.done
    try {
      run.apply(null, args)
    } catch (error) {
      say(error)
      result = C.failed + id
    }
    words[W.threads + id * W.line + 1]++
    settle(state, result)
    return true
  }

  Atomics.store(words, W.threads + id * W.line, T.serving)
  for (;;) {
    const job = Atomics.load(words, W.job)
    if (Atomics.load(words, W.closed)) return
    const count = Atomics.load(words, W.count)
    for (let i = 0; i < count; i++) {
      // Each thread starts elsewhere, so that they seldom meet.
      const state = W.states + ((i + id) % count) * W.line
      if (Atomics.load(words, state) !== C.ready) continue
      if (Atomics.compareExchange(words, state, C.ready, C.claimed + id) !== C.ready) continue
      if (!perform(state)) return
    }
    let polls = 0
    while (Atomics.load(words, W.job) === job) {
      if (++polls < ${mostPolls}) continue
      drain?.()
      Atomics.add(words, W.waiting, 1)
      Atomics.wait(words, W.job, job)
      Atomics.sub(words, W.waiting, 1)
    }
  }
}
`

/** The program for Node, whose worker finds what it needs in `workerData`. */
export const nodeProgram = `${program}
const { workerData, receiveMessageOnPort } = process.getBuiltinModule("node:worker_threads")
serve(workerData, () => {
  while (receiveMessageOnPort(workerData.port));
})`

/** The program for browsers, whose worker is sent a message. */
export const webProgram = `${program}
onmessage = (event) => serve(event.data)`
