// One thread an output element: products with few terms, and the sum of partial sums. Nothing is shared between threads.
import { elementEntry } from "../map.js"
import { param, type ShaderSource } from "../queue.js"
import { at, type Bound, partsOf } from "./finish.js"

const split = `  let col = i % ${param(at.n)};
  let row = (i / ${param(at.n)}) % ${param(at.m)};
  place(i / (${param(at.n)} * ${param(at.m)}));
`

/** Each thread adds its own products. */
export function directSource(one: Bound): ShaderSource {
  const { functions, type, readA, readB } = partsOf(one)
  const code = `${functions}
${elementEntry(param(at.total))}${split}  var sum = ${type}(0);
  for (var k = 0u; k < ${param(at.k)}; k++) { sum += ${readA("row", "k")} * ${readB("k", "col")}; }
  finish(row, col, sum);
}`
  return { name: "matmul", kinds: one.bindings.kinds, code }
}

/** Each thread adds the partial sums of its element in their order. */
export function gatherSource(one: Bound): ShaderSource {
  const { functions, type, readPartial } = partsOf(one)
  const code = `${functions}
${elementEntry(param(at.total))}${split}  var sum = ${type}(0);
  for (var s = 0u; s < ${param(at.splits)}; s++) { sum += ${readPartial(`s * ${param(at.total)} + i`)}; }
  finish(row, col, sum);
}`
  return { name: "matmul", kinds: one.bindings.kinds, code }
}
