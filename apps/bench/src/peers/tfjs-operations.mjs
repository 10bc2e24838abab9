// The single operations on TensorFlow.js. Recording is measured with its own tape, results are freed at once by tf.tidy.
import { chain, operations, steps } from "../operations.ts"
import { timeOp } from "../timing.ts"
import { drawn } from "../workloads.ts"

export function tfjsOperations(tf) {
  const values = (seed, ...shape) => tf.tensor(drawn(seed, shape, 1).data, shape)

  function prepare({ kind, size, transposed, batch }) {
    if (kind === "recurrence") {
      const [projected, start] = [values(1, steps, batch, size), values(2, batch, size)]
      const [weight, bias] = [values(3, size, size), values(4, size)]
      return () => {
        const outputs = []
        let h = start
        for (const p of tf.unstack(projected)) {
          h = tf.relu(tf.add(p, tf.add(tf.matMul(h, weight, false, true), bias)))
          outputs.push(h)
        }
        return tf.stack(outputs)
      }
    }
    if (kind === "matmul") {
      const [a, b] = [values(1, size, size), values(2, size, size)]
      return () => tf.matMul(a, b, transposed === "A", transposed === "B")
    }
    const x = kind === "softmax" ? values(1, size, size) : values(1, size)
    if (kind === "softmax") return () => tf.softmax(x)
    if (kind === "add" || kind === "small") {
      const y = values(2, size)
      return () => tf.add(x, y)
    }
    return () => tf[kind](x)
  }

  function graph(mode) {
    const x = tf.variable(values(1, 16))
    const y = values(2, 16)
    const sum = () => {
      let s = x
      for (let i = 0; i < chain; i++) s = tf.add(s, y)
      return s
    }
    if (mode === "backward") return () => tf.variableGrads(() => tf.sum(sum()), [x]).value
    const engine = tf.engine()
    return () => {
      engine.startTape()
      const s = sum()
      engine.endTape()
      return s
    }
  }

  const one = (operation) => async () => {
    const { name, mode = "bare" } = operation
    const call = mode === "bare" ? prepare(operation) : graph(mode)
    return timeOp(name, () => tf.tidy(() => void call()), { divisor: mode === "bare" ? 1 : chain })
  }
  return Object.fromEntries(operations.map((operation) => [operation.name, one(operation)]))
}
