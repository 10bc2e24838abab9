// js-pytorch 0.7.2 (nested JS arrays, op-by-op autograd, no RNN/LSTM/GRU, no tanh/sigmoid): cells by hand from exp and div.
// Its Adam has no bias correction, so only the first loss can be compared with the other peers.
// No kernel splits columns, so the LSTM keeps its four gates as separate matrices. jspytorch.mjs [workload...]
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { peerFolder } from "./env.mjs"
import { runCases, timeRun, timeTraining } from "../timing.ts"
import { build, transpose } from "../workloads.ts"

const { torch } = await import(pathToFileURL(join(peerFolder, "node_modules/js-pytorch/dist/index.mjs")).href)
const nest = (d, [n, ...rest]) =>
  rest.length
    ? Array.from({ length: n }, (_, i) => nest(d.subarray(i * (d.length / n), (i + 1) * (d.length / n)), rest))
    : Array.from(d)
const C = (d, shape) => torch.tensor(nest(d, shape)),
  P = (p) => torch.tensor(nest(p.data, p.shape), true),
  PT = (p) => P(transpose(p))
const sigmoid = (x) => torch.ones(x.shape).div(x.neg().exp().add(1))
const tanh = (x) => torch.ones(x.shape).div(x.mul(2).exp().add(1)).mul(-2).add(1)
const number = (v) => {
  while (Array.isArray(v)) v = v[0]
  return v
}
const trainer = (params, lr, loss, clip) => {
  const opt = new torch.optim.Adam(params, lr, 0, [0.9, 0.999], 1e-8)
  return {
    step() {
      const l = loss()
      l.backward()
      if (clip) {
        const sq = (a) => (Array.isArray(a) ? a.reduce((s, x) => s + sq(x), 0) : a * a),
          k = clip / (Math.sqrt(params.reduce((s, p) => s + sq(p.grad), 0)) + 1e-6)
        if (k < 1) for (const p of params) p._grad = p._grad.mul(k)
      }
      opt.step()
      opt.zero_grad()
      return number(l.data)
    },
  }
}
const mse = (z, y) => z.sub(y).pow(2).mean(0).mean() // pow: only n = 2 has a right gradient
const steps = (d) =>
  Array.from({ length: d.T }, (_, t) =>
    C(
      Float32Array.from({ length: d.N * d.I }, (_, k) => d.x[(Math.floor(k / d.I) * d.T + t) * d.I + (k % d.I)]),
      [d.N, d.I],
    ),
  )
const elman = (w) => () => {
  const d = build[w](),
    xs = steps(d),
    y = C(d.y, [d.N, d.O]),
    h0 = torch.zeros([d.N, d.H])
  const wi = PT(d.rnn.w_ih),
    wh = PT(d.rnn.w_hh),
    bi = P(d.rnn.b_ih),
    bh = P(d.rnn.b_hh),
    ow = PT(d.out.w),
    ob = P(d.out.b)
  return trainer([wi, wh, bi, bh, ow, ob], d.lr, () => {
    let h = h0
    const b = bi.add(bh)
    for (const x of xs) h = tanh(x.matmul(wi).add(b).add(h.matmul(wh)))
    return mse(h.matmul(ow).add(ob), y)
  })
}
const W1b = () => {
  const d = build.W1b(),
    xs = steps(d),
    y = C(d.y, [d.N, 1]),
    h0 = torch.zeros([d.N, 5])
  const iw = PT(d.inp.w),
    ib = P(d.inp.b),
    hh = PT(d.hh),
    ow = PT(d.out.w),
    ob = P(d.out.b)
  return trainer([iw, ib, hh, ow, ob], d.lr, () => {
    let h = h0
    for (const x of xs) h = tanh(x.matmul(iw).add(ib).add(h.matmul(hh)))
    return mse(h.matmul(ow).add(ob), y)
  })
}
const W3 = () => {
  const d = build.W3(),
    { B, T, H } = d,
    at = (a, t) => Array.from({ length: B }, (_, b) => a[b * T + t])
  const gate = (p, g) => ({
    data: p.data.subarray((g * p.data.length) / 4, ((g + 1) * p.data.length) / 4),
    shape: [H, ...p.shape.slice(1)],
  })
  const emb = P(d.emb),
    G = [0, 1, 2, 3].map((g) => ({
      wi: PT(gate(d.rnn.w_ih, g)),
      wh: PT(gate(d.rnn.w_hh, g)),
      bi: P(gate(d.rnn.b_ih, g)),
      bh: P(gate(d.rnn.b_hh, g)),
    }))
  const ow = PT(d.out.w),
    ob = P(d.out.b),
    ce = new torch.nn.CrossEntropyLoss(),
    z0 = torch.zeros([B, H])
  return trainer(
    [emb, ...G.flatMap((g) => Object.values(g)), ow, ob],
    d.lr,
    () => {
      let h = z0,
        c = z0,
        loss
      for (let t = 0; t < T; t++) {
        const x = emb.at(at(d.ids, t)),
          [i, f, g, o] = G.map((w) => x.matmul(w.wi).add(w.bi.add(w.bh)).add(h.matmul(w.wh)))
        c = sigmoid(f)
          .mul(c)
          .add(sigmoid(i).mul(tanh(g)))
        h = sigmoid(o).mul(tanh(c))
        const l = ce.forward(h.matmul(ow).add(ob), torch.tensor(at(d.targets, t)))
        loss = loss ? loss.add(l) : l
      }
      return loss.mul(1 / T)
    },
    d.clip,
  )
}
const read = (x) => x
await runCases(
  {
    W1: () => timeTraining("W1", elman("W1"), read),
    W1b: () => timeTraining("W1b", W1b, read),
    "W1-run": () => timeRun("W1-run", elman("W1"), read, { repetitions: 1 }),
    W2: () => timeTraining("W2", elman("W2"), read, { warm: 0, least: 1 }),
    W3: () => timeTraining("W3", W3, read, { warm: 0, least: 1 }), // most of a minute a step
  },
  process.argv.slice(2),
)
