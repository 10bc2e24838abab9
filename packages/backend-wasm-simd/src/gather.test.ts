// Gathers and scatters against the reference, and when a bad index is named.
import { IndexError } from "@rondo/backend"
import { describeGathers, describeScatters, operandOf, Placement } from "@rondo/kernel-tests"
import { expect, it } from "vitest"
import { devices, subject } from "../test/devices.js"

const own = subject()
describeGathers(own)
describeScatters(own)

it("names a bad index before it returns", () => {
  for (const device of devices) {
    const placement = new Placement(device)
    const [x, out] = [operandOf("float32", [5], []), operandOf("float32", [2], [])]
    const act = () => placement.run({ kind: "gather", dim: 0 }, [x, operandOf("int32", [2], [1, 5])], [out])
    expect(act).toThrow(IndexError)
    placement.free()
  }
})
