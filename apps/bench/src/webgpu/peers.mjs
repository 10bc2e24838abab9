// The peers' cases on WebGPU, in a page. Each takes its library, which the page's bundle imports from the peers' folder.
import { jaxCases } from "../peers/jax-cases.mjs"
import { tfjsCases } from "../peers/tfjs-cases.mjs"
import { productCases } from "./cases.ts"
import { stepTimer } from "./timing.ts"

/** TensorFlow.js with its package for WebGPU: loops by hand, as in the other benchmark. */
export const openTfjs = (tf) => async (plan) => {
  // Its advertisements.
  console.warn = () => {}
  if (!(await tf.setBackend("webgpu"))) throw new Error("tfjs: the webgpu backend did not start")
  await tf.ready()
  const products = {
    place: (values, size) => tf.tensor(values, [size, size]),
    multiply: (a, b) => tf.matMul(a, b),
    free: (a) => a.dispose(),
    first: async (a) => {
      const element = tf.slice(a, [0, 0], [1, 1])
      const [value] = await element.data()
      element.dispose()
      return value
    },
  }
  const read = async (loss) => {
    const [value] = await loss.data()
    loss.dispose()
    return value
  }
  return { ...productCases(products, plan), ...tfjsCases(tf, "hand", stepTimer(plan, read)) }
}

/** jax-js, each training step in one `jit()`. Reading consumes an array, and so does every use but that of `ref`. */
export const openJax = (jax) => async (plan) => {
  const { numpy: np, jit } = jax
  const devices = await jax.init("webgpu")
  if (!devices.includes("webgpu")) throw new Error("jax-js: there is no webgpu device")
  jax.defaultDevice("webgpu")
  const matmul = jit((a, b) => np.matmul(a, b))
  const products = {
    place: (values, size) => np.array(values).reshape([size, size]),
    multiply: (a, b) => matmul(a.ref, b.ref),
    free: (a) => a.dispose(),
    first: async (a) => (await a.ref.slice(0, 0).data())[0],
  }
  const read = async (loss) => (await loss.data())[0]
  const time = stepTimer(plan, read)
  return { ...productCases(products, plan), ...jaxCases(jax, "jit", { time, queue: true }) }
}
