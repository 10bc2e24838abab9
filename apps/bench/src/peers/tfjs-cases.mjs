// TensorFlow.js's cases. `tf` is its namespace.
//  hand:   loops written by hand, tf.variableGrads and tf.train.adam; one product projects the input of all steps
//  layers: tf.layers.{simpleRNN,lstm,gru} and model.trainOnBatch (one bias, not two; GRU of the kind that resets before the
//          product; no gradient clipping), so its losses differ from everybody's
import { timeLatency, timeRun, timeTraining } from "../timing.ts"
import { build, timeMajor, transpose } from "../workloads.ts"

export function tfjsCases(tf, style, time = timeTraining) {
  const T2 = (p) => tf.tensor(p.data, p.shape),
    TT = (p) => T2(transpose(p))
  const V = (t) => {
    const v = tf.variable(t)
    t.dispose()
    return v
  }
  const read = (h) => {
    if (typeof h === "number") return h
    const v = h.dataSync()[0]
    h.dispose()
    return v
  }
  const recVars = (r) => ({ wi: V(TT(r.w_ih)), wh: V(TT(r.w_hh)), bi: V(T2(r.b_ih)), bh: V(T2(r.b_hh)) })
  const linVars = (l) => ({ w: V(TT(l.w)), b: V(T2(l.b)) })
  const trainer = (vars, lr, loss, clip) => {
    const list = vars.flatMap((o) => (o instanceof tf.Tensor ? [o] : Object.values(o)))
    const adam = tf.train.adam(lr, 0.9, 0.999, 1e-8),
      keep = []
    const once = () =>
      tf.tidy(() => {
        const { value, grads } = tf.variableGrads(loss, list)
        if (clip) {
          const norm = tf.sqrt(tf.addN(Object.values(grads).map((g) => tf.sum(tf.square(g)))))
          const k = tf.minimum(tf.div(clip, tf.add(norm, 1e-6)), 1)
          for (const n in grads) grads[n] = tf.mul(grads[n], k)
        }
        adam.applyGradients(grads)
        return value
      })
    return {
      keep,
      step: once,
      drop: (h) => h.dispose(),
      close() {
        for (const v of [...list, ...keep]) v.dispose()
        adam.dispose()
      },
    }
  }
  /** [N,T,I] flat -> T tensors of [N,I] */
  const steps = (x, N, T, I) => tf.tidy(() => tf.unstack(tf.tensor(x, [N, T, I]), 1))

  const elman = (w) => () => {
    const d = build[w](),
      xs = steps(d.x, d.N, d.T, d.I),
      y = tf.tensor(d.y, [d.N, d.O]),
      h0 = tf.zeros([d.N, d.H])
    const r = recVars(d.rnn),
      o = linVars(d.out)
    const m = trainer([r, o], d.lr, () => {
      const b = tf.add(r.bi, r.bh)
      let h = h0
      for (const x of xs) h = tf.tanh(tf.add(tf.add(tf.matMul(x, r.wi), b), tf.matMul(h, r.wh)))
      return tf.mean(tf.squaredDifference(tf.add(tf.matMul(h, o.w), o.b), y))
    })
    m.keep.push(...xs, y, h0)
    return m
  }
  const W1b = () => {
    const d = build.W1b(),
      xs = steps(d.x, d.N, d.T, 1),
      y = tf.tensor(d.y, [d.N, 1]),
      h0 = tf.zeros([d.N, 5])
    const i = linVars(d.inp),
      hh = V(TT(d.hh)),
      o = linVars(d.out)
    const m = trainer([i, hh, o], d.lr, () => {
      let h = h0
      for (const x of xs) h = tf.tanh(tf.add(tf.add(tf.matMul(x, i.w), i.b), tf.matMul(h, hh)))
      return tf.mean(tf.squaredDifference(tf.add(tf.matMul(h, o.w), o.b), y))
    })
    m.keep.push(...xs, y, h0)
    return m
  }
  const lstmStep = (z, c) => {
    const [i, f, g, o] = tf.split(z, 4, 1)
    const c2 = tf.add(tf.mul(tf.sigmoid(f), c), tf.mul(tf.sigmoid(i), tf.tanh(g)))
    return [tf.mul(tf.sigmoid(o), tf.tanh(c2)), c2]
  }
  const W3 = () => {
    const d = build.W3(),
      ids = tf.tensor1d(timeMajor(d.ids, d.B, d.T), "int32")
    const tgt = tf.tidy(() => tf.cast(tf.oneHot(tf.tensor1d(timeMajor(d.targets, d.B, d.T), "int32"), d.V), "float32")),
      z0 = tf.zeros([d.B, d.H])
    const emb = V(T2(d.emb)),
      r = recVars(d.rnn),
      o = linVars(d.out)
    const m = trainer(
      [emb, r, o],
      d.lr,
      () => {
        const xp = tf.add(tf.matMul(tf.gather(emb, ids), r.wi), tf.add(r.bi, r.bh))
        let h = z0,
          c = z0
        const hs = []
        for (const x of tf.unstack(tf.reshape(xp, [d.T, d.B, 4 * d.H]))) {
          ;[h, c] = lstmStep(tf.add(x, tf.matMul(h, r.wh)), c)
          hs.push(h)
        }
        const logits = tf.add(tf.matMul(tf.concat(hs), o.w), o.b)
        return tf.losses.softmaxCrossEntropy(tgt, logits)
      },
      d.clip,
    )
    m.keep.push(ids, tgt, z0)
    return m
  }
  const gru = (w) => () => {
    const d = build[w](),
      ids = tf.tensor1d(timeMajor(d.ids, d.B, d.T), "int32"),
      y = tf.tensor(d.y, [d.B, 1]),
      h0 = tf.zeros([d.B, d.H])
    const emb = V(T2(d.emb)),
      r = recVars(d.rnn),
      o = linVars(d.out)
    const m = trainer([emb, r, o], d.lr, () => {
      const xp = tf.add(tf.matMul(tf.gather(emb, ids), r.wi), r.bi)
      let h = h0
      for (const x of tf.unstack(tf.reshape(xp, [d.T, d.B, 3 * d.H]))) {
        const [xr, xz, xn] = tf.split(x, 3, 1),
          [hr, hz, hn] = tf.split(tf.add(tf.matMul(h, r.wh), r.bh), 3, 1)
        const z = tf.sigmoid(tf.add(xz, hz)),
          n = tf.tanh(tf.add(xn, tf.mul(tf.sigmoid(tf.add(xr, hr)), hn)))
        h = tf.add(n, tf.mul(z, tf.sub(h, n)))
      }
      return tf.losses.sigmoidCrossEntropy(y, tf.add(tf.matMul(h, o.w), o.b))
    })
    m.keep.push(ids, y, h0)
    return m
  }
  const W5 = () => {
    const d = build.W5(),
      x = T2(d.x),
      r = recVars(d.rnn)
    let h = tf.zeros([1, 128]),
      c = tf.zeros([1, 128]),
      out
    return {
      step() {
        const [h2, c2] = tf.tidy(() =>
          lstmStep(tf.add(tf.add(tf.matMul(x, r.wi), tf.add(r.bi, r.bh)), tf.matMul(h, r.wh)), c),
        )
        h.dispose()
        c.dispose()
        h = h2
        c = c2
        out = h.dataSync()
      },
      check: () => out.reduce((a, b) => a + b, 0),
    }
  }

  // ---- tf.layers
  const lw = (r) => {
    const s = r.b_ih.data.map((v, i) => v + r.b_hh.data[i])
    return [TT(r.w_ih), TT(r.w_hh), tf.tensor1d(s)]
  }
  const dw = (l) => [TT(l.w), T2(l.b)]
  const cfg = { kernelInitializer: "zeros", recurrentInitializer: "zeros", recurrentActivation: "sigmoid" }
  const layersModel = (layers, weights, lr, loss, x, y) => {
    const model = tf.sequential({ layers })
    model.setWeights(weights)
    model.compile({ optimizer: tf.train.adam(lr, 0.9, 0.999, 1e-8), loss })
    return {
      step: () => model.trainOnBatch(x, y),
      close() {
        model.dispose()
        x.dispose()
        y.dispose()
      },
    }
  }
  const L = tf.layers
  const elmanLayers = (w) => () => {
    const d = build[w]()
    return layersModel(
      [L.simpleRNN({ units: d.H, inputShape: [d.T, d.I], ...cfg }), L.dense({ units: d.O })],
      [...lw(d.rnn), ...dw(d.out)],
      d.lr,
      "meanSquaredError",
      tf.tensor(d.x, [d.N, d.T, d.I]),
      tf.tensor(d.y, [d.N, d.O]),
    )
  }
  const W3l = () => {
    const d = build.W3(),
      y = tf.tidy(() => tf.cast(tf.oneHot(tf.tensor(d.targets, [d.B, d.T], "int32"), d.V), "float32"))
    return layersModel(
      [
        L.embedding({ inputDim: d.V, outputDim: d.E, inputLength: d.T, embeddingsInitializer: "zeros" }),
        L.lstm({ units: d.H, returnSequences: true, ...cfg }),
        L.dense({ units: d.V }),
      ],
      [T2(d.emb), ...lw(d.rnn), ...dw(d.out)],
      d.lr,
      (a, b) => tf.losses.softmaxCrossEntropy(a, b),
      tf.tensor(d.ids, [d.B, d.T], "int32"),
      y,
    )
  }
  const W4l = () => {
    const d = build.W4()
    // gate order: torch r, z, n; tf.layers z, r, n
    for (const p of Object.values(d.rnn)) {
      const n = p.data.length / 3,
        a = p.data.slice(0, n)
      p.data.copyWithin(0, n, 2 * n)
      p.data.set(a, n)
    }
    return layersModel(
      [
        L.embedding({ inputDim: d.V, outputDim: d.E, inputLength: d.T, embeddingsInitializer: "zeros" }),
        L.gru({ units: d.H, ...cfg }),
        L.dense({ units: 1 }),
      ],
      [T2(d.emb), ...lw(d.rnn), ...dw(d.out)],
      d.lr,
      (a, b) => tf.losses.sigmoidCrossEntropy(a, b),
      tf.tensor(d.ids, [d.B, d.T], "int32"),
      tf.tensor(d.y, [d.B, 1]),
    )
  }
  const W5l = () => {
    const d = build.W5(),
      model = tf.sequential({ layers: [L.lstm({ units: 128, batchInputShape: [1, 1, 64], stateful: true, ...cfg })] })
    model.setWeights(lw(d.rnn))
    const x = tf.tensor(d.x.data, [1, 1, 64])
    let out
    return {
      step() {
        const h = model.predict(x)
        out = h.dataSync()
        h.dispose()
      },
      check: () => out.reduce((a, b) => a + b, 0),
    }
  }

  const hand = style === "hand",
    one = elman("W1"),
    oneL = elmanLayers("W1")
  const train = (w, make) => () => time(w, make, read)
  const c = {
    "W1-run": () => timeRun("W1-run", hand ? one : oneL, read),
    W1: train("W1", hand ? one : oneL),
    W2: train("W2", hand ? elman("W2") : elmanLayers("W2")),
    W3: train("W3", hand ? W3 : W3l),
    W4: train("W4", hand ? gru("W4") : W4l),
    W5: () => timeLatency("W5", hand ? W5 : W5l),
  }
  if (hand) {
    c.W1b = train("W1b", W1b)
    c.W4d = train("W4d", gru("W4d"))
  }
  return c
}
