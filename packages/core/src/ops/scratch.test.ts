import { CpuJs } from "@rondo/backend-cpu-js"
import { expect, test } from "vitest"
import { gradcheck, gradgradcheck, tensor, Tensor, use, upload, currentDevice, manualSeed, rand } from "../index.js"
import * as m1 from "./slicing.js"
import * as m2 from "./gather.js"
import * as m3 from "./rows.js"
import * as m4 from "./fill.js"
import * as m5 from "./selection.js"
import * as m6 from "./indexing.js"
import * as m7 from "./shaping.js"
import * as m8 from "./arranging.js"
import * as m9 from "./repeating.js"
import * as m10 from "./scan.js"
import * as m11 from "./sort.js"
import * as m12 from "./softmax.js"
import * as m13 from "./einsum.js"
import * as mv from "./movement.js"
use(new CpuJs())
const mods: Record<string, any> = {
  ...m1,
  ...m2,
  ...m3,
  ...m4,
  ...m5,
  ...m6,
  ...m7,
  ...m8,
  ...m9,
  ...m10,
  ...m11,
  ...m12,
  ...m13,
  ...mv,
}
for (const [k, v] of Object.entries(mods)) {
  if (v?.op && v.op.method !== false)
    Object.defineProperty(Tensor.prototype, k, {
      configurable: true,
      writable: true,
      value(this: any, ...r: any[]) {
        return v(this, ...r)
      },
    })
}
let seed = 1
const rnd = () => (seed = (seed * 16807) % 2147483647) / 2147483647
function make(a: any, grad: boolean): any {
  if (a && typeof a === "object" && a.sample) {
    const n = a.shape.reduce((x: number, y: number) => x * y, 1)
    if (a.sample === "float") {
      const x = upload(
        currentDevice(),
        Float64Array.from({ length: n }, () => a.domain[0] + rnd() * (a.domain[1] - a.domain[0])),
        a.shape,
        "float64",
      )
      if (grad) x.requiresGrad_()
      return x
    }
    if (a.sample === "int")
      return upload(
        currentDevice(),
        Int32Array.from({ length: n }, () => a.low + Math.floor(rnd() * (a.high - a.low))),
        a.shape,
        "int32",
      )
    return upload(
      currentDevice(),
      Uint8Array.from({ length: n }, () => (rnd() < 0.5 ? 1 : 0)),
      a.shape,
      "bool",
    )
  }
  if (Array.isArray(a)) return a.map((y) => make(y, grad))
  if (a && typeof a === "object" && Object.getPrototypeOf(a) === Object.prototype)
    return Object.fromEntries(Object.entries(a).map(([k, v]) => [k, make(v, grad)]))
  return a
}
function tensorsIn(a: any, out: Tensor[] = []): Tensor[] {
  if (a instanceof Tensor) {
    if (a.requiresGrad) out.push(a)
  } else if (Array.isArray(a)) a.forEach((y) => tensorsIn(y, out))
  else if (a && typeof a === "object") Object.values(a).forEach((y) => tensorsIn(y, out))
  return out
}
function subst(a: any, map: Map<Tensor, Tensor>): any {
  if (a instanceof Tensor) return map.get(a) ?? a
  if (Array.isArray(a)) return a.map((y) => subst(y, map))
  if (a && typeof a === "object" && Object.getPrototypeOf(a) === Object.prototype)
    return Object.fromEntries(Object.entries(a).map(([k, v]) => [k, subst(v, map)]))
  return a
}
for (const [name, f] of Object.entries(mods)) {
  const info = f?.op
  if (!info || info.differentiable === undefined || !info.samples) continue
  info.samples.forEach((sample: any, i: number) => {
    test(`${name} ${i} ${JSON.stringify(sample).slice(0, 80)}`, async () => {
      const wrt: number[] | undefined = info.wrt
      const args = sample.map((a: any, k: number) => make(a, !wrt || wrt.includes(k)))
      const moved = tensorsIn(args)
      const g = (...xs: Tensor[]) => {
        const map = new Map(moved.map((t, k) => [t, info.inPlace ? xs[k].mul(1) : xs[k]]))
        const r = f(...subst(args, map))
        const list = (Array.isArray(r) ? r : [r]) as Tensor[]
        return list
          .filter((t) => t.dtype === "float64")
          .map((t) => (t.requiresGrad || info.differentiable === false ? t : t))
      }
      const isAsync = f(...subst(args, new Map(moved.map((t) => [t, t.detach().clone()])))) instanceof Promise
      if (isAsync || moved.length === 0 || !info.differentiable) {
        await f(...subst(args, new Map(moved.map((t) => [t, t.detach().clone()]))))
        return
      }
      let outs: Tensor[] = []
      outs = g(...moved)
      if (outs.length === 0 || !outs.some((o) => o.requiresGrad)) {
        expect(
          outs.every((o) => o.shape.includes(0) || sample.includes("float32")) ||
            outs.length === 0 ||
            name === "fill_" ||
            name === "zero_" ||
            name === "detach",
        ).toBe(true)
        return
      }
      await gradcheck(g as any, moved)
      await gradgradcheck(g as any, moved)
    })
  })
}
import { readFileSync } from "node:fs"
const cases = JSON.parse(readFileSync("/tmp/cases.json", "utf8"))
const num = (q: any) =>
  q === null ? NaN : q === "inf" ? Infinity : q === "-inf" ? -Infinity : q === true ? 1 : q === false ? 0 : q
const DT: any = {
  float64: Float64Array,
  float32: Float32Array,
  int64: BigInt64Array,
  int32: Int32Array,
  bool: Uint8Array,
}
function dec(v: any, leaves: Tensor[]): any {
  if (v && v.T) {
    const arr =
      v.dtype === "int64" ? BigInt64Array.from(v.data.map((q: any) => BigInt(q))) : DT[v.dtype].from(v.data.map(num))
    const x = upload(currentDevice(), arr, v.shape, v.dtype)
    if (v.dtype === "float64") {
      x.requiresGrad_()
      leaves.push(x)
    }
    return x
  }
  if (Array.isArray(v)) return v.map((q) => dec(q, leaves))
  if (v && typeof v === "object") return Object.fromEntries(Object.entries(v).map(([k, q]) => [k, dec(q, leaves)]))
  return v === "-inf" ? -Infinity : v
}
const close = (a: number, b: number) =>
  (Number.isNaN(a) && Number.isNaN(b)) || a === b || Math.abs(a - b) <= 1e-9 * (1 + Math.abs(b))
cases.forEach((c: any, k: number) => {
  test(`torch ${k} ${c.name} ${JSON.stringify(c.args, (kk, v) => (v && v.T ? `t${JSON.stringify(v.shape)}` : v)).slice(0, 100)}`, () => {
    const leaves: Tensor[] = []
    let after = () => {}
    let args = dec(c.args, leaves)
    if (process.env.STRIDED) {
      const st = (v: any): any =>
        v instanceof Tensor
          ? v.ndim === 0
            ? v
            : v
                .unsqueeze(-1)
                .expand(...v.shape, 2)
                .clone()
                .select(-1, 1)
                .flip(0)
                .slice(0, null, null, -1)
          : Array.isArray(v)
            ? v.map(st)
            : v && typeof v === "object"
              ? Object.fromEntries(Object.entries(v).map(([k, q]) => [k, st(q)]))
              : v
      if (c.name !== "asStrided") args = st(args)
      if (process.env.STRIDED === "2") {
        const before = tensorsIn(args).map((q) => Array.from(q.dataSync() as any))
        after = () => expect(tensorsIn(args).map((q) => Array.from(q.dataSync() as any))).toEqual(before)
      }
    }
    const r = mods[c.name](...args)
    const outs = (Array.isArray(r) ? r : [r]) as Tensor[]
    expect(outs.length).toBe(c.outs.length)
    outs.forEach((o, j) => {
      expect([...o.shape]).toEqual(c.outs[j].shape)
      expect(o.dtype).toBe(c.outs[j].dtype)
      const d = Array.from(o.dataSync() as any, Number)
      const e = c.outs[j].data.map(num)
      d.forEach((q, n) => {
        if (!close(q, e[n])) throw new Error(`value ${j}[${n}]: ${q} vs ${e[n]}\n${d}\n${e}`)
      })
    })
    after()
    if (!c.grads) return
    let loss: any = null
    for (const o of outs)
      if (o.dtype === "float64" && o.requiresGrad) {
        const n = o.shape.reduce((a: number, b: number) => a * b, 1)
        const w = upload(
          currentDevice(),
          Float64Array.from({ length: n }, (_, q) => q + 1),
          o.shape,
          "float64",
        )
        const s = o.mul(w).sum()
        loss = loss ? loss.add(s) : s
      }
    loss.backward()
    c.grads.forEach((g: any, j: number) => {
      if (!g) return
      const d = leaves[j].grad ? Array.from(leaves[j].grad!.dataSync() as any, Number) : g.data.map(() => 0)
      d.forEach((q: number, n: number) => {
        if (!close(q, num(g.data[n]))) throw new Error(`grad ${j}[${n}]: ${q} vs ${g.data[n]}\n${d}\n${g.data}`)
      })
    })
  })
})
import { scope } from "../index.js"
test("leaks", () => {
  const { backend } = currentDevice()
  for (const [name, f] of Object.entries(mods)) {
    const info = f?.op
    if (!info?.samples || name === "nonzero" || name === "maskedSelect") continue
    for (const sample of info.samples) {
      const args = sample.map((a: any) => make(a, false))
      const before = backend.memory().buffers
      scope(() => {
        f(...args)
        return undefined
      })
      if (backend.memory().buffers !== before) console.log("leak", name, backend.memory().buffers - before)
      const outside = backend.memory().buffers
      const r = f(...args)
      for (const o of Array.isArray(r) ? r : [r]) if (!args.includes(o)) o.dispose()
      const d = backend.memory().buffers - outside
      if (d > 0) (globalThis as any).held = { ...((globalThis as any).held ?? {}), [name]: d }
    }
  }
  expect((globalThis as any).held).toEqual({})
})
test("dtypes", () => {
  for (const dt of ["float16", "bfloat16", "int32", "int64", "uint8", "bool"] as const) {
    for (const [name, f] of Object.entries(mods)) {
      const info = f?.op
      if (!info?.samples || name === "nonzero" || name === "maskedSelect") continue
      for (const sample of info.samples) {
        const conv = (v: any): any =>
          v instanceof Tensor
            ? v.dtype === "float64"
              ? v.to(dt)
              : v
            : Array.isArray(v)
              ? v.map(conv)
              : v && typeof v === "object"
                ? Object.fromEntries(Object.entries(v).map(([k, q]) => [k, conv(q)]))
                : v
        const args = conv(sample.map((a: any) => make(a, false)))
        try {
          f(...args)
        } catch (e: any) {
          process.stderr.write(`${dt} ${name}: ${e.name} ${e.message}\n`)
          break
        }
      }
    }
  }
})
test("time unbind", () => {
  for (const T of [1000, 10000]) {
    const x = upload(currentDevice(), new Float32Array(T * 8), [T, 8], "float32").requiresGrad_()
    const t0 = performance.now()
    const parts = m7.unbind(x)
    let s: any = null
    for (const p of parts) s = s ? s.add(p) : p
    s.sum().backward()
    process.stderr.write(`T=${T} ${performance.now() - t0} ms\n`)
  }
})
