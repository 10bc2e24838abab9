// Conversion between dtypes, and the tensor outside of the graph: detach.
import { checkDType, type DType } from "@rondo/backend"
import { apply } from "../apply.js"
import { checkDeviceDType } from "../device.js"
import { passOn } from "../graph.js"
import { copyOf } from "../place.js"
import { op } from "../op.js"
import { t } from "../samples.js"
import { type Tensor, windowOn } from "../tensor.js"

/** `x` converted; itself if it has that dtype. Casting its gradient back is the engine's work. */
export const toDType = op(
  { family: "movement", name: "to", takes: { x: "tensor", dtype: "dtype" }, doc: "Converted to another dtype (`to` in short); itself if it has it.", samples: [[t(2, 3), "float32"], [t(2, 3), "float64"]], differentiable: true }, // prettier-ignore
  (x: Tensor, dtype: DType): Tensor => {
    checkDType("to", dtype)
    x.check("to")
    if (x.dtype === dtype) return x
    checkDeviceDType("to", x.device, dtype)
    const [out] = apply({ name: "toDType", keep: [], vjp: passOn }, [x], (device) => [copyOf(device, x, dtype)])
    return out
  },
)

export const detach = op(
  { family: "movement", name: "detach", takes: { x: "tensor" }, doc: "The same memory outside of the graph: no gradient passes.", samples: [[t(2, 3)]], differentiable: false, view: true }, // prettier-ignore
  (x: Tensor): Tensor => {
    x.check("detach")
    return windowOn(x, x, false)
  },
)
