// jax-js's cases. `jax` is its module. It has no scan or while_loop: the recurrence is unrolled in the trace.
//  jit:   forward, gradient, clipping and Adam in one jit()
//  eager: the same functions without jit
import { timeLatency, timeRun, timeTraining } from "../timing.ts"
import { build, timeMajor, transpose } from "../workloads.ts"

/** `time` times the training steps; `queue`: a step only queues its work, and `time` reads the loss that it gives. */
export function jaxCases(jax, style, { time = timeTraining, queue = false } = {}) {
  const { numpy: np, nn, tree, jit, valueAndGrad, blockUntilReady } = jax
  const wrap = style === "jit" ? jit : (f) => f
  const A = (p) => np.array(p.data).reshape(p.shape),
    AT = (p) => A(transpose(p))
  const I32 = (a, shape) => np.array(a, { dtype: np.int32 }).reshape(shape)
  const read = (h) => (typeof h === "number" ? h : h.dataSync()[0])
  const rec = (r) => ({ wi: AT(r.w_ih), wh: AT(r.w_hh), bi: A(r.b_ih), bh: A(r.b_hh) })
  const lin = (l) => ({ w: AT(l.w), b: A(l.b) })

  /** (params, m, v, c, data) -> [loss, params, m, v]; c = [1/(1-b1^t), 1/(1-b2^t)] */
  const makeStep = (loss, lr, clip) =>
    wrap((p, m, v, c1, c2, data) => {
      const [value, g0] = valueAndGrad(loss)(tree.ref(p), data)
      let g = g0
      if (clip) {
        const [leaves] = tree.flatten(tree.ref(g))
        const norm = np.sqrt(leaves.map((x) => np.square(x).sum()).reduce((a, b) => a.add(b)))
        const k = np.minimum(np.trueDivide(clip, norm.add(1e-6)), 1)
        g = tree.map((x) => x.mul(k.ref), g)
        k.dispose()
      }
      const m2 = tree.map((x, gi) => x.mul(0.9).add(gi.mul(0.1)), m, tree.ref(g))
      const v2 = tree.map((x, gi) => x.mul(0.999).add(np.square(gi).mul(0.001)), v, g)
      const p2 = tree.map(
        (x, mi, vi) =>
          x.sub(
            mi
              .mul(c1.ref)
              .mul(lr)
              .div(np.sqrt(vi.mul(c2.ref)).add(1e-8)),
          ),
        p,
        tree.ref(m2),
        tree.ref(v2),
      )
      c1.dispose()
      c2.dispose()
      return [value, p2, m2, v2]
    })
  const trainer = (stepFn, params, data) => {
    let p = params,
      m = tree.map((x) => np.zerosLike(x), tree.ref(p)),
      v = tree.map((x) => np.zerosLike(x), tree.ref(p)),
      t = 0,
      l
    const once = () => {
      t++
      ;[l, p, m, v] = stepFn(p, m, v, np.array(1 / (1 - 0.9 ** t)), np.array(1 / (1 - 0.999 ** t)), tree.ref(data))
      return l
    }
    return {
      // jax-js is lazy: a call only queues kernels, and reading a result runs them. All outputs of one jit() call share
      // one queue, so reading the loss runs the whole step; without jit every updated array has to be forced.
      step: queue
        ? once
        : style === "jit"
          ? () => once().dataSync()[0]
          : async () => {
              const h = once()
              await blockUntilReady([p, m, v])
              return h
            },
      drop: (h) => h.dispose?.(),
      close() {
        for (const x of [p, m, v, data]) tree.dispose(x)
      },
    }
  }

  const elmanLoss =
    (N, T, H) =>
    (p, { x, y, h0 }) => {
      let h = h0
      const b = p.r.bi.add(p.r.bh),
        xp = np.matmul(x, p.r.wi).add(b).reshape([T, N, H])
      for (const z of np.unstack(xp)) h = np.tanh(z.add(np.matmul(h, p.r.wh.ref)))
      p.r.wh.dispose()
      return np.square(np.matmul(h, p.o.w).add(p.o.b).sub(y)).mean()
    }
  const cache = {}
  const stepFor = (w, f) => (cache[w] ??= f()) // one jit function per workload: the model is rebuilt, the program is not
  const elman = (w) => () => {
    const d = build[w](),
      s = stepFor(w, () => makeStep(elmanLoss(d.N, d.T, d.H), d.lr))
    return trainer(
      s,
      { r: rec(d.rnn), o: lin(d.out) },
      {
        x: np.array(timeMajor(d.x, d.N, d.T, d.I)).reshape([d.T * d.N, d.I]),
        y: np.array(d.y).reshape([d.N, d.O]),
        h0: np.zeros([d.N, d.H]),
      },
    )
  }
  const W1b = () => {
    const d = build.W1b(),
      s = stepFor("W1b", () =>
        makeStep((p, { x, y, h0 }) => {
          let h = h0
          for (const xt of np.unstack(x))
            h = np.tanh(np.matmul(xt, p.i.w.ref).add(p.i.b.ref).add(np.matmul(h, p.hh.ref)))
          p.i.w.dispose()
          p.i.b.dispose()
          p.hh.dispose()
          return np.square(np.matmul(h, p.o.w).add(p.o.b).sub(y)).mean()
        }, d.lr),
      )
    return trainer(
      s,
      { i: lin(d.inp), hh: AT(d.hh), o: lin(d.out) },
      {
        x: np.array(timeMajor(d.x, d.N, d.T, 1)).reshape([d.T, d.N, 1]),
        y: np.array(d.y).reshape([d.N, 1]),
        h0: np.zeros([d.N, 5]),
      },
    )
  }
  const lstmStep = (z, c) => {
    const [i, f, g, o] = np.split(z, 4, 1)
    const c2 = nn
      .sigmoid(f)
      .mul(c)
      .add(nn.sigmoid(i).mul(np.tanh(g)))
    return [nn.sigmoid(o).mul(np.tanh(c2.ref)), c2]
  }
  // jax-js 0.1.25: jit of the gradient of take() followed by a matmul throws "jit: routine primitive scatter input is not
  // imm" (the matmul's transposed result is a view). Multiplying by a run-time 1 makes it a real array.
  const lookup = (emb, ids, one) => np.take(emb, ids, 0).mul(one)
  const W3 = () => {
    const d = build.W3(),
      { B, T, V, H } = d,
      s = stepFor("W3", () =>
        makeStep(
          (p, { ids, tgt, h0, c0, one }) => {
            const xp = np
              .matmul(lookup(p.emb, ids, one), p.r.wi)
              .add(p.r.bi.add(p.r.bh))
              .reshape([T, B, 4 * H])
            let h = h0,
              c = c0
            const hs = []
            for (const z of np.unstack(xp)) {
              ;[h, c] = lstmStep(z.add(np.matmul(h, p.r.wh.ref)), c)
              hs.push(h.ref)
            }
            h.dispose()
            c.dispose()
            p.r.wh.dispose()
            const lp = nn.logSoftmax(np.matmul(np.concatenate(hs), p.o.w).add(p.o.b))
            return lp
              .mul(tgt)
              .sum()
              .mul(-1 / (T * B))
          },
          d.lr,
          d.clip,
        ),
      )
    return trainer(
      s,
      { emb: A(d.emb), r: rec(d.rnn), o: lin(d.out) },
      {
        ids: I32(timeMajor(d.ids, B, T), [T * B]),
        tgt: nn.oneHot(I32(timeMajor(d.targets, B, T), [T * B]), V),
        h0: np.zeros([B, H]),
        c0: np.zeros([B, H]),
        one: np.array(1),
      },
    )
  }
  const gru = (w) => () => {
    const d = build[w](),
      { B, T, H } = d,
      s = stepFor("W4", () =>
        makeStep((p, { ids, y, h0, one }) => {
          const xp = np
            .matmul(lookup(p.emb, ids, one), p.r.wi)
            .add(p.r.bi)
            .reshape([T, B, 3 * H])
          let h = h0
          for (const x of np.unstack(xp)) {
            const [xr, xz, xn] = np.split(x, 3, 1),
              [hr, hz, hn] = np.split(np.matmul(h.ref, p.r.wh.ref).add(p.r.bh.ref), 3, 1)
            const n = np.tanh(xn.add(nn.sigmoid(xr.add(hr)).mul(hn)))
            h = n.ref.add(nn.sigmoid(xz.add(hz)).mul(h.sub(n)))
          }
          p.r.wh.dispose()
          p.r.bh.dispose()
          const z = np.matmul(h, p.o.w).add(p.o.b)
          return nn.softplus(z.ref).sub(z.mul(y)).mean()
        }, d.lr),
      )
    return trainer(
      s,
      { emb: A(d.emb), r: rec(d.rnn), o: lin(d.out) },
      {
        ids: I32(timeMajor(d.ids, B, T), [T * B]),
        y: np.array(d.y).reshape([B, 1]),
        h0: np.zeros([B, H]),
        one: np.array(1),
      },
    )
  }
  const W5 = () => {
    const d = build.W5(),
      x = A(d.x),
      r = rec(d.rnn)
    let h = np.zeros([1, 128]),
      c = np.zeros([1, 128]),
      out
    const f = stepFor("W5", () =>
      wrap((x, r, h, c) => lstmStep(np.matmul(x, r.wi).add(r.bi).add(r.bh).add(np.matmul(h, r.wh)), c)),
    )
    return {
      step() {
        ;[h, c] = f(x.ref, tree.ref(r), h, c)
        out = h.ref.dataSync()
      },
      check: () => out.reduce((a, b) => a + b, 0),
    }
  }

  const train = (w, make) => () => time(w, make, read)
  return {
    "W1-run": () => timeRun("W1-run", elman("W1"), read),
    W1: train("W1", elman("W1")),
    W1b: train("W1b", W1b),
    W2: train("W2", elman("W2")),
    W3: train("W3", W3),
    W4: train("W4", gru("W4")),
    W4d: train("W4d", gru("W4d")),
    W5: () => timeLatency("W5", W5),
  }
}
