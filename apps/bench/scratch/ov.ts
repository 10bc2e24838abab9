import { CpuJs } from "@rondo/backend-cpu-js"
import { use, randn, noGrad } from "@rondo/core"
use(new CpuJs())
const a = randn(16, {requiresGrad: true}), b = randn(16)
const t = (name: string, f: () => void, n = 200000) => { for (let i=0;i<20000;i++) f(); const s = performance.now(); for (let i=0;i<n;i++) f(); console.log(name, ((performance.now()-s)/n*1000).toFixed(2), "us") }
t("add rec", () => { a.add(b) })
t("add norec", () => { b.add(b) })
t("mul scalar", () => { b.mul(2) })
t("tanh", () => { b.tanh() })
t("sum", () => { b.sum() })
t("reshape", () => { b.reshape(4,4) })
const w = randn(10,10,{requiresGrad:true}), x = randn(1000,10)
t("matmul 1000x10x10", () => { x.matmul(w) }, 2000)
t("tanh 10000", () => { x.tanh() }, 2000)
t("add 10000", () => { x.add(x) }, 5000)
t("fwd+bwd", () => { x.matmul(w).tanh().sum().backward() }, 1000)
