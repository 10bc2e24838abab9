// The single operations on Rondo. Results are freed at once, as inside a scope.
import { type Device, recurrent, scope, tensor, type Tensor } from "rondo"
import { chain, type Operation, operations, steps } from "../operations.js"
import { type Cases, timeOp } from "../timing.js"
import { drawn } from "../workloads.js"

const values = (seed: number, ...shape: number[]): Tensor => tensor(drawn(seed, shape, 1).data).reshape(shape)

/** A function that starts the operation once and gives its result. */
function prepare({ kind, size, transposed, batch = 1 }: Operation): () => Tensor {
  if (kind === "recurrence") {
    const [projected, h] = [values(1, steps, batch, size), values(2, batch, size)]
    const [weight, bias] = [values(3, size, size), values(4, size)]
    return () => recurrent("relu", projected, weight, bias, [h])[0]
  }
  if (kind === "matmul") {
    const a = values(1, size, size)
    const b = values(2, size, size)
    const left = transposed === "A" ? a.t() : a
    const right = transposed === "B" ? b.t() : b
    return () => left.matmul(right)
  }
  const x = kind === "softmax" ? values(1, size, size) : values(1, size)
  if (kind === "softmax") return () => x.softmax(1)
  if (kind === "add" || kind === "small") {
    const y = values(2, size)
    return () => x.add(y)
  }
  return () => x[kind]()
}

/** `chain` adds in one graph, and back. */
function graph(mode: "recorded" | "backward"): () => Tensor {
  const x = values(1, 16).requiresGrad_()
  const y = values(2, 16)
  return () => {
    let sum: Tensor = x
    for (let i = 0; i < chain; i++) sum = sum.add(y)
    if (mode === "backward") {
      x.grad = null
      sum.sum().backward()
    }
    return sum
  }
}

/** On a device that queues, an element of the result is read, so that the work is done when the clock stops. */
function finished(device: Device, call: () => Tensor): () => void | Promise<void> {
  if (device.backend.capabilities.syncRead) return () => scope(call).dispose()
  return async () => {
    const result = scope(call)
    await result.flatten().select(0, 0).item()
    result.dispose()
  }
}

/** One case each. Times of chains are divided by their length. */
export function operationCases(device: Device): Cases {
  const one = (operation: Operation) => async () => {
    const { name, mode = "bare" } = operation
    if (mode === "bare") return timeOp(name, finished(device, prepare(operation)))
    return timeOp(name, finished(device, graph(mode)), { divisor: chain })
  }
  return Object.fromEntries(operations.map((operation) => [operation.name, one(operation)]))
}
