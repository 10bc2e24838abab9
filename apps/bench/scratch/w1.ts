import { device, manualSeed, randn, RNN, Linear, Adam, mseLoss, Tensor, noGrad } from "rondo"
await device("cpu-js")
manualSeed(1)
const rnn = new RNN(2, 10, { batchFirst: true }), fc = new Linear(10, 2)
const x = randn(1000, 5, 2), y = randn(1000, 2)
const opt = new Adam([...rnn.parameters(), ...fc.parameters()], { lr: 0.01 })
const step = () => { const [, hn] = rnn.forward(x); const loss = mseLoss(fc.forward(hn.squeeze(0)), y); opt.zeroGrad(); loss.backward(); opt.step(); return loss }
for (let i = 0; i < 100; i++) step()
const s = performance.now(); const n = 500; for (let i = 0; i < n; i++) step()
console.log("W1", ((performance.now() - s) / n).toFixed(2), "ms")
const T=100, rnn2 = new RNN(1, 100, {batchFirst: true}), fc2 = new Linear(100,1), x2 = randn(1000,T,1), y2=randn(1000,1)
const opt2 = new Adam([...rnn2.parameters(), ...fc2.parameters()], { lr: 0.01 })
const step2 = () => { const [, hn] = rnn2.forward(x2); const loss = mseLoss(fc2.forward(hn.squeeze(0)), y2); opt2.zeroGrad(); loss.backward(); opt2.step(); return loss }
step2(); const s2 = performance.now(); for (let i = 0; i < 2; i++) step2(); console.log("W2", ((performance.now()-s2)/2).toFixed(0), "ms")
