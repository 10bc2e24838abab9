// Check: bad calls throw the same typed error with the same text on every device, and leave everything as it was.
import {
  DeviceError,
  DisposedError,
  DTypeError,
  GradientError,
  IndexError,
  RondoError,
  ShapeError,
  ValueError,
} from "@rondo/backend"
import {
  cat,
  type Device,
  full,
  grad,
  isGradEnabled,
  matmul,
  noGrad,
  rand,
  scope,
  tensor,
  Tensor,
  zeros,
} from "@rondo/core"
import { compareHosts, fail, hold } from "../compare.js"
import { errorText, read } from "../read.js"
import type { Case, Check, Context } from "../suite.js"

/** Makes operands on one device and remembers them. */
class Kit {
  readonly made: Tensor[] = []
  readonly device: Device
  readonly twin: Device

  constructor(device: Device, twin: Device) {
    this.device = device
    this.twin = twin
  }

  /** Consecutive numbers. */
  t(...shape: number[]): Tensor {
    return this.of(full(shape, 0.5, { device: this.device }))
  }
  leaf(...shape: number[]): Tensor {
    return this.t(...shape).requiresGrad_()
  }
  int(...values: number[]): Tensor {
    return this.of(tensor(values, { device: this.device, dtype: "int32" }))
  }
  bool(...values: boolean[]): Tensor {
    return this.of(tensor(values, { device: this.device }))
  }
  of(x: Tensor): Tensor {
    this.made.push(x)
    return x
  }
}

interface BadCall {
  readonly op: string
  readonly id: string
  readonly call: (kit: Kit) => unknown
  readonly error: new (message: string) => RondoError
  /** What the text must say beside the operation's name. */
  readonly text: RegExp
}

/** Past the types: what a program in plain JavaScript can do. */
const loose = (x: Tensor): Record<string, (...args: unknown[]) => unknown> => x as never

const shapes: readonly BadCall[] = [
  { op: "add", id: "shapes that do not broadcast", call: (k) => k.t(2, 3).add(k.t(2)), error: ShapeError, text: /^add: .*\[2, 3\] and \[2\]/ },
  { op: "add_", id: "a result larger than the tensor", call: (k) => k.t(3).add_(k.t(2, 3)), error: ShapeError, text: /^add_: .*\[2, 3\].*\[3\]/ },
  { op: "matmul", id: "inner dimensions", call: (k) => matmul(k.t(2, 3), k.t(4, 5)), error: ShapeError, text: /^matmul: inner dimensions differ: \[2, 3\] x \[4, 5\]/ },
  { op: "matmul", id: "no dims", call: (k) => matmul(k.t(), k.t(3)), error: ShapeError, text: /^matmul: / },
  { op: "matmul", id: "batches", call: (k) => matmul(k.t(2, 2, 3), k.t(3, 3, 2)), error: ShapeError, text: /^matmul: .*\[2\] and \[3\]/ },
  { op: "reshape", id: "count of elements", call: (k) => k.t(2, 3).reshape(4, 2), error: ShapeError, text: /^reshape: .*\[2, 3\].*6.*8/ },
  { op: "reshape", id: "two open sizes", call: (k) => k.t(2, 3).reshape(-1, -1), error: ShapeError, text: /^reshape: .*-1/ },
  { op: "reshape", id: "a fraction", call: (k) => k.t(2, 3).reshape(1.5, 4), error: ShapeError, text: /^reshape: .*1\.5/ },
  { op: "reshape", id: "NaN", call: (k) => k.t(2, 3).reshape(NaN, 3), error: ShapeError, text: /^reshape: .*NaN/ },
  { op: "view", id: "strides", call: (k) => k.t(2, 3).transpose(0, 1).view(6), error: ShapeError, text: /^view: .*strides.*reshape/ },
  { op: "expand", id: "a size that is not 1", call: (k) => k.t(2, 3).expand(4, 3), error: ShapeError, text: /^expand: .*\[2, 3\].*\[4, 3\]/ },
  { op: "cat", id: "other dims", call: (k) => cat([k.t(2, 3), k.t(2, 4)]), error: ShapeError, text: /^cat: .*\[2, 3\].*\[2, 4\]/ },
  { op: "cat", id: "nothing", call: () => cat([]), error: RondoError, text: /^cat: / },
  { op: "permute", id: "too few dims", call: (k) => k.t(2, 3, 4).permute(0, 1), error: ShapeError, text: /^permute: / },
  { op: "permute", id: "a dim twice", call: (k) => k.t(2, 3).permute(0, 0), error: ShapeError, text: /^permute: .*twice/ },
  { op: "amax", id: "an empty dim", call: (k) => k.t(0, 3).amax(0), error: ShapeError, text: /^amax: .*\[0, 3\]/ },
  { op: "linear", id: "weight", call: (k) => loose(k.t(2, 3)).linear(k.t(4, 5)), error: ShapeError, text: /^linear: .*\[2, 3\].*\[4, 5\]/ },
  { op: "item", id: "several elements", call: (k) => k.t(2).item(), error: ShapeError, text: /^item: .*\[2\]/ },
  { op: "zeros", id: "a negative size", call: (k) => zeros([2, -1], { device: k.device }), error: ShapeError, text: /^zeros: .*-1/ },
  { op: "zeros", id: "a fraction", call: (k) => zeros([2.5], { device: k.device }), error: ShapeError, text: /^zeros: .*2\.5/ },
  { op: "rand", id: "NaN", call: (k) => rand([NaN], { device: k.device }), error: ShapeError, text: /^rand: .*NaN/ },
  { op: "tensor", id: "ragged arrays", call: (k) => tensor([[1, 2], [3]], { device: k.device }), error: ShapeError, text: /^tensor: .*ragged/ },
  { op: "add_", id: "an expanded tensor", call: (k) => k.t(1, 3).expand(2, 3).add_(1), error: ShapeError, text: /^add_: .*share memory/ },
] // prettier-ignore

const places: readonly BadCall[] = [
  { op: "sum", id: "a dim out of range", call: (k) => k.t(2, 3).sum(2), error: IndexError, text: /^sum: dim out of range: got 2, expected -2 to 1/ },
  { op: "sum", id: "a dim twice", call: (k) => k.t(2, 3).sum([0, -2]), error: ShapeError, text: /^sum: .*twice/ },
  { op: "sum", id: "a fraction", call: (k) => k.t(2, 3).sum(0.5), error: IndexError, text: /^sum: .*0\.5/ },
  { op: "transpose", id: "a dim out of range", call: (k) => k.t(2, 3).transpose(0, 5), error: IndexError, text: /^transpose: .*5/ },
  { op: "unsqueeze", id: "a dim out of range", call: (k) => k.t(2).unsqueeze(3), error: IndexError, text: /^unsqueeze: .*3/ },
  { op: "select", id: "an index out of range", call: (k) => k.t(2, 3).select(1, 3), error: IndexError, text: /^select: .*3.*-3 to 2/ },
  { op: "softmax", id: "a dim out of range", call: (k) => k.t(2).softmax(1), error: IndexError, text: /^softmax: .*1/ },
  { op: "gather", id: "an index tensor of floats", call: (k) => k.t(3).gather(0, k.t(2)), error: DTypeError, text: /^gather: .*float32/ },
  { op: "gather", id: "ranks", call: (k) => k.t(3, 3).gather(0, k.int(0, 1)), error: ShapeError, text: /^gather: / },
  { op: "narrow", id: "beyond the end", call: (k) => k.t(5).narrow(0, 3, 4), error: IndexError, text: /^narrow: / },
  { op: "topk", id: "too many", call: (k) => k.t(3).topk(4), error: RondoError, text: /^topk: .*4/ },
] // prettier-ignore

const kinds: readonly BadCall[] = [
  { op: "mean", id: "of integers", call: (k) => k.int(1, 2).mean(), error: DTypeError, text: /^mean: .*int32/ },
  { op: "neg", id: "of bools", call: (k) => k.bool(true).neg(), error: DTypeError, text: /^neg: .*bool/ },
  { op: "sub", id: "of two bools", call: (k) => k.bool(true).sub(k.bool(false)), error: DTypeError, text: /^sub: got bool and bool.*logicalXor/ },
  { op: "bitwiseAnd", id: "of floats", call: (k) => k.t(2).bitwiseAnd(k.t(2)), error: DTypeError, text: /^bitwiseAnd: .*float32/ },
  { op: "matmul", id: "dtypes that differ", call: (k) => matmul(k.t(2, 2), k.of(k.int(1, 2, 3, 4).reshape(2, 2))), error: DTypeError, text: /^matmul: .*float32 and int32/ },
  { op: "add_", id: "a float into integers", call: (k) => k.int(1, 2).add_(0.5), error: DTypeError, text: /^add_: .*float32.*int32/ },
  { op: "mul_", id: "an integer into bools", call: (k) => k.bool(true).mul_(k.int(2)), error: DTypeError, text: /^mul_: .*int32.*bool/ },
  { op: "to", id: "an unknown dtype", call: (k) => loose(k.t(1)).to("float8"), error: DTypeError, text: /^to: unknown dtype: got float8/ },
  { op: "requiresGrad_", id: "of integers", call: (k) => k.int(1).requiresGrad_(), error: GradientError, text: /^requiresGrad_: .*int32/ },
  { op: "add", id: "neither tensor nor number", call: (k) => loose(k.t(1)).add("1"), error: ValueError, text: /^add: .*string/ },
  { op: "add", id: "nothing", call: (k) => loose(k.t(1)).add(), error: ValueError, text: /^add: takes 2 operands, got 1/ },
  { op: "clamp", id: "an unknown option", call: (k) => loose(k.t(1)).clamp({ low: 1 }), error: ValueError, text: /^clamp: .*low/ },
  { op: "tensor", id: "text", call: (k) => tensor(["1"] as never, { device: k.device }), error: ValueError, text: /^tensor: .*string/ },
  { op: "maskedFill", id: "a mask of floats", call: (k) => k.t(2).maskedFill(k.t(2), 1), error: DTypeError, text: /^maskedFill: .*float32/ },
] // prettier-ignore

const devices: readonly BadCall[] = [
  { op: "add", id: "two devices", call: (k) => k.t(2).add(k.of(zeros([2], { device: k.twin }))), error: DeviceError, text: /^add: .*different devices: .* and .*to\(device\)/ },
  { op: "matmul", id: "two devices", call: (k) => matmul(k.t(2, 2), k.of(zeros([2, 2], { device: k.twin }))), error: DeviceError, text: /^matmul: .*different devices/ },
  { op: "cat", id: "two devices", call: (k) => cat([k.t(2), k.of(zeros([2], { device: k.twin }))]), error: DeviceError, text: /^cat: .*different devices/ },
  { op: "add_", id: "two devices", call: (k) => k.t(2).add_(k.of(zeros([2], { device: k.twin }))), error: DeviceError, text: /^add_: .*different devices/ },
  { op: "zeros", id: "a device by name", call: () => zeros([2], { device: "cpu" as never }), error: ValueError, text: /^zeros: .*device/ },
  { op: "add", id: "a disposed tensor", call: (k) => disposed(k).add(1), error: DisposedError, text: /^add: .*disposed/ },
  { op: "reshape", id: "a disposed tensor", call: (k) => disposed(k).reshape(2), error: DisposedError, text: /^reshape: .*disposed/ },
  { op: "item", id: "a disposed tensor", call: (k) => disposed(k).item(), error: DisposedError, text: /disposed/ },
  { op: "add", id: "a tensor whose scope ended", call: (k) => escaped(k).add(1), error: DisposedError, text: /^add: .*disposed/ },
] // prettier-ignore

function disposed(kit: Kit): Tensor {
  const x = zeros([2], { device: kit.device })
  x.dispose()
  return x
}

function escaped(kit: Kit): Tensor {
  let out: Tensor | null = null
  scope(() => {
    out = zeros([2], { device: kit.device })
  })
  return out as unknown as Tensor
}

const gradients: readonly BadCall[] = [
  { op: "backward", id: "several elements", call: (k) => k.leaf(2).mul(2).backward(), error: GradientError, text: /^backward: .*one element.*\[2\]/ },
  { op: "backward", id: "no graph", call: (k) => k.t(1).sum().backward(), error: GradientError, text: /^backward: .*no graph/ },
  { op: "backward", id: "under noGrad", call: (k) => noGrad(() => k.leaf(1).sum()).backward(), error: GradientError, text: /^backward: .*noGrad/ },
  { op: "backward", id: "twice", call: (k) => twice(k), error: GradientError, text: /^backward: .*retainGraph/ },
  { op: "backward", id: "a gradient of another shape", call: (k) => k.leaf(2).mul(2).backward({ gradient: k.t(3) }), error: ShapeError, text: /^backward: .*\[3\].*\[2\]/ },
  { op: "add_", id: "a leaf", call: (k) => k.leaf(2).add_(1), error: GradientError, text: /^add_: .*leaf.*noGrad/ },
  { op: "add_", id: "a view of a leaf", call: (k) => k.leaf(4).reshape(2, 2).add_(1), error: GradientError, text: /^add_: .*view of a leaf/ },
  { op: "exp", id: "a saved tensor that changed", call: (k) => changed(k), error: GradientError, text: /^exp: .*changed in place.*version 1, expected 0/ },
  { op: "grad", id: "an input that was not used", call: (k) => grad(k.leaf(1).sum(), k.leaf(2)), error: GradientError, text: /^grad: input 0.*\[2\].*allowUnused/ },
  { op: "grad", id: "an input without gradients", call: (k) => grad(k.leaf(1).sum(), k.t(2)), error: GradientError, text: /^grad: input 0/ },
  { op: "requiresGrad_", id: "switching off a non-leaf", call: (k) => k.leaf(1).mul(2).requiresGrad_(false), error: GradientError, text: /^requiresGrad_: .*detach/ },
  { op: "registerHook", id: "no gradients", call: (k) => k.t(1).registerHook(() => undefined), error: GradientError, text: /^registerHook: / },
  { op: "retainGrad", id: "no gradients", call: (k) => k.t(1).retainGrad(), error: GradientError, text: /^retainGrad: / },
  { op: "noGrad", id: "a promise", call: () => noGrad(() => Promise.resolve(1)), error: ValueError, text: /^noGrad: .*promise/ },
  { op: "scope", id: "a promise", call: () => scope(() => Promise.resolve(1)), error: ValueError, text: /^scope: .*promise/ },
] // prettier-ignore

function twice(kit: Kit): void {
  const y = kit.t(2).requiresGrad_().exp().sum()
  // The first pass may fill a gradient; what is compared are values.
  y.backward()
  y.backward()
}

function changed(kit: Kit): void {
  const y = kit.leaf(2).exp()
  y.add_(1)
  y.sum().backward()
}

async function errorOf(kit: Kit, bad: BadCall): Promise<Error> {
  let result: unknown
  try {
    result = await bad.call(kit)
    // A queueing device may report at the next read.
    if (result instanceof Tensor) await read(result)
  } catch (error) {
    return error instanceof Error ? error : fail(`threw ${String(error)}, which is no error`)
  }
  return fail(`nothing was thrown, expected ${bad.error.name}`)
}

/** Runs a bad call on one device: its class and text must be as stated, and nothing may have changed. */
async function checkOn(kit: Kit, bad: BadCall): Promise<string> {
  const error = await errorOf(kit, bad)
  hold(error instanceof bad.error, `got ${error.name} (${error.message}), expected ${bad.error.name}`)
  hold(bad.text.test(error.message), `got the text "${error.message}", expected ${String(bad.text)}`)
  hold(isGradEnabled(), "gradients are switched off afterwards")
  for (const x of kit.made) {
    const values = await read(x)
    const first = x.dtype === "float32" ? values.values[0] : null
    const same =
      values.values.length === 0 ||
      first === null ||
      Array.from(values.values).every((v) => v === first && (v === 0.5 || v === 0))
    hold(same, `an operand changed: ${Array.from(values.values).join(", ")}`)
  }
  const one = tensor([1, 2], { device: kit.device }).add(1)
  compareHosts(
    await read(one),
    { dtype: "float32", shape: [2], values: [2, 3] },
    {},
    { what: "the next operation", source: "expected" },
  )
  return errorText(error, kit.device).replaceAll(kit.twin.name, "<device>")
}

function errorCase(context: Context, bad: BadCall): Case {
  const run = async (): Promise<void> => {
    const got = await checkOn(new Kit(context.device, context.twin), bad)
    const want = await errorText(await errorOf(new Kit(context.reference, context.device), bad), context.reference)
    const same = got === want.replaceAll(context.device.name, "<device>")
    hold(same, `got ${got}, reference ${want}`)
  }
  return { id: bad.id, op: bad.op, dtype: "-", run }
}

export const errorsCheck: Check = {
  name: "errors",
  about:
    "Bad calls throw the typed error with the same text on every device, name what they got, and leave everything as it was.",
  cases: (context) => [...shapes, ...places, ...kinds, ...devices, ...gradients].map((bad) => errorCase(context, bad)),
}
