// brain.js 1.6.1 (npm's latest): its own trainer, the closest it has. One sequence at a time, RMSprop-like, every step predicted:
//  W1: RNNTimeStep 2-10-2 over the same 1000 sequences (6 points each); one pass = one "epoch" of 1000 updates.
//  W3: LSTM, 96 symbols, embedding 128, hidden 256 over the same 32 lines; one pass = 32 updates.
// loss: W1 the mean squared error of run() on the first 200 sequences; W3 ln of the perplexity that it reports (divided by 100) as its error.
import { peerRequire } from "./env.mjs"
import { runCases, timeRun, timeTraining } from "../timing.ts"
import { build } from "../workloads.ts"

const brain = peerRequire("brain.js")
const W1 = () => {
  const d = build.W1(),
    data = Array.from({ length: d.N }, (_, n) => [
      ...Array.from({ length: d.T }, (_, t) => [d.x[(n * d.T + t) * 2], d.x[(n * d.T + t) * 2 + 1]]),
      [d.y[2 * n], d.y[2 * n + 1]],
    ])
  const net = new brain.recurrent.RNNTimeStep({ inputSize: 2, hiddenLayers: [10], outputSize: 2 })
  return {
    step() {
      net.train(data, { iterations: 1, errorThresh: 0, learningRate: 0.001, log: false })
      return { net, data }
    },
  }
}
const mse = ({ net, data }) => {
  let s = 0
  for (const q of data.slice(0, 200)) {
    const o = net.run(q.slice(0, 5))
    s += ((o[0] - q[5][0]) ** 2 + (o[1] - q[5][1]) ** 2) / 2
  }
  return s / 200
}
const W3 = () => {
  const d = build.W3(),
    lines = Array.from({ length: d.B }, (_, b) => Array.from(d.ids.subarray(b * d.T, (b + 1) * d.T)))
  const net = new brain.recurrent.LSTM({ inputSize: 128, inputRange: 96, outputSize: 96, hiddenLayers: [256] })
  delete net.setupData
  net.setupData = (x) => x // symbols are numbers already
  return { step: () => net.train(lines, { iterations: 1, errorThresh: 0, learningRate: 0.002, log: false }).error }
}
await runCases(
  {
    "W1-run": () => timeRun("W1-run", W1, mse, { repetitions: 1 }),
    W1: () => timeTraining("W1", W1, mse),
    W3: () => timeTraining("W3", W3, (e) => Math.log(100 * e)),
  },
  process.argv.slice(2),
)
