// How elements are folded into one, as WGSL: a state of one or two words with a unit and an associative join, for reductions and
// scans. Knows nothing of how the work is cut.
import { type DType, DTypeError, isFloat, type ReduceOperator, type ScanKernel } from "@rondo/backend"
import { param } from "./queue.js"
import { wgslType } from "./types.js"

/** What elements are carried in. */
type Carrier = "float32" | "int32" | "uint32"

/** The carrier of elements of `dtype`. */
const carrierOf = (dtype: DType): Carrier => (isFloat(dtype) ? "float32" : dtype === "uint32" ? dtype : "int32")

/** One way to fold. */
export interface Fold {
  /** The WGSL type of a state, whose words go through scratch buffers as they are. */
  readonly state: "i32" | "vec2<f32>" | "vec2<i32>"
  /** How elements are carried: halves in float32; bool and uint8 in int32, where they wrap. */
  readonly carried: Carrier
  /** The dtype of `result(state)`. */
  readonly result: Carrier
  /**
   * WGSL functions: `unit() -> State`, `lift(x, position: i32) -> State` of one element, `join(a: State, b: State) -> State`
   * where `a` comes first, and `result(a: State)`. Parameter 0 of the shader must be 0.
   */
  readonly source: string
}

const make = (state: Fold["state"], carried: Carrier, result: Carrier, source: string): Fold => ({
  state,
  carried,
  result,
  source: `alias State = ${state};\n${source}`,
})

/**
 * Sums with what rounding has lost beside them (A. Neumaier, ZAMM 54, 1974). `opaque` hides values behind a number that only
 * the run knows: a compiler that takes arithmetic for exact would find that nothing is ever lost.
 */
const compensatedSum = `
fn opaque(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) ^ ${param(0)}); }
fn unit() -> State { return State(0.0, 0.0); }
fn lift(x: f32, position: i32) -> State { return State(x, 0.0); }
fn join(a: State, b: State) -> State {
  let swap = abs(a.x) < abs(b.x);
  let sum = opaque(a.x + b.x);
  let rest = opaque(select(a.x, b.x, swap) - sum) + select(b.x, a.x, swap);
  return State(sum, a.y + b.y + rest);
}
fn result(a: State) -> f32 {
  // An infinite sum has no correction: infinity less infinity is NaN.
  if ((bitcast<u32>(a.y) & 0x7f800000u) == 0x7f800000u) { return a.x; }
  return a.x + a.y;
}`

/**
 * Products as significand and exponent, so that only the whole product can overflow or vanish: in trees, parts of it would
 * do so where a product from left to right does not, and zero times infinity is NaN.
 */
const scaledProduct = `
fn scaled(x: f32, exponent: i32) -> State {
  let bits = bitcast<u32>(x);
  let field = (bits >> 23u) & 255u;
  if (field == 255u || (bits & 0x7fffffffu) == 0u) { return State(bitcast<i32>(bits), 0); }
  if (field != 0u) {
    return State(bitcast<i32>((bits & 0x807fffffu) | 0x3f800000u), exponent + i32(field) - 127);
  }
  // Subnormal: a whole number of 2^-149.
  let whole = bitcast<u32>(f32(bits & 0x7fffffu));
  let significand = (bits & 0x80000000u) | (whole & 0x7fffffu) | 0x3f800000u;
  return State(bitcast<i32>(significand), exponent + i32(whole >> 23u) - 127 - 149);
}
fn unit() -> State { return State(0x3f800000, 0); }
fn lift(x: f32, position: i32) -> State { return scaled(x, 0); }
fn join(a: State, b: State) -> State { return scaled(bitcast<f32>(a.x) * bitcast<f32>(b.x), a.y + b.y); }
fn result(a: State) -> f32 {
  let exponent = clamp(a.y, -252, 254);
  let half = exponent / 2;
  let first = bitcast<f32>(u32(half + 127) << 23u);
  return bitcast<f32>(a.x) * first * bitcast<f32>(u32(exponent - half + 127) << 23u);
}`

const least = "i32(-2147483648)"
const greatest = "i32(2147483647)"

/** Integers in the order of floats: NaN is `nan`, and -0 is -1, just below 0. */
const ordered = (nan: string): string => `
fn ordered(x: f32) -> i32 {
  let bits = bitcast<i32>(x);
  return select(bits ^ ((bits >> 31u) & 0x7fffffff), ${nan}, (bits & 0x7fffffff) > 0x7f800000);
}`
/** The same with both zeros equal. */
const zeroless = "fn order(x: f32) -> i32 { let key = ordered(x); return select(key, 0, key == -1); }"

/** Integers in the order of elements: unsigned ones with the first bit turned round. */
const orderOf = {
  int32: "fn order(x: i32) -> i32 { return x; }",
  uint32: "fn order(x: u32) -> i32 { return bitcast<i32>(x ^ 0x80000000u); }",
}

function extreme(max: boolean, carrier: Carrier): Fold {
  const join = `fn join(a: State, b: State) -> State { return ${max ? "max" : "min"}(a, b); }`
  if (carrier !== "float32") {
    const type = wgslType(carrier)
    const source = `${orderOf[carrier]}
fn unit() -> State { return ${max ? least : greatest}; }
fn lift(x: ${type}, position: i32) -> State { return order(x); }
${join}
// What turns the first bit round turns it back.
fn result(a: State) -> ${type} { return bitcast<${type}>(order(bitcast<${type}>(a))); }`
    return make("i32", carrier, carrier, source)
  }
  const nan = max ? greatest : least
  // The unit is an infinity: what nothing reduces to.
  const source = `${ordered(nan)}
fn unit() -> State { return ${max ? "i32(-2139095041)" : "0x7f800000"}; }
fn lift(x: f32, position: i32) -> State { return ordered(x); }
${join}
fn result(a: State) -> f32 {
  return bitcast<f32>(select(a ^ ((a >> 31u) & 0x7fffffff), 0x7fc00000, a == ${nan}));
}`
  return make("i32", "float32", "float32", source)
}

/** `order(x)`: integers in the order of elements, NaN at the end where it wins. */
const orderSource = (max: boolean, carrier: Carrier): string =>
  carrier === "float32" ? ordered(max ? greatest : least) + zeroless : orderOf[carrier]

/** The first position of the greatest or least; a NaN is either. Position -1: nothing yet. */
function position(max: boolean, carrier: Carrier): Fold {
  const type = wgslType(carrier)
  const source = `${orderSource(max, carrier)}
fn unit() -> State { return State(0, -1); }
fn lift(x: ${type}, position: i32) -> State { return State(order(x), position); }
fn join(a: State, b: State) -> State {
  if (b.y < 0) { return a; }
  if (a.y < 0 || b.x ${max ? ">" : "<"} a.x || (b.x == a.x && b.y < a.y)) { return b; }
  return a;
}
fn result(a: State) -> i32 { return a.y; }`
  return make("vec2<i32>", carrier, "int32", source)
}

/** Sums and products wrap: with or without a sign, the bits are the same. */
function whole(carrier: "int32" | "uint32", unit: number, join: string, lift = "x"): Fold {
  const type = wgslType(carrier)
  return make(
    "i32",
    carrier,
    carrier,
    `
fn unit() -> State { return ${unit}; }
fn lift(x: ${type}, position: i32) -> State { return bitcast<i32>(${lift}); }
fn join(a: State, b: State) -> State { return ${join}; }
fn result(a: State) -> ${type} { return bitcast<${type}>(a); }`,
  )
}

const wholes = (unit: number, join: string) => ({
  int32: whole("int32", unit, join),
  uint32: whole("uint32", unit, join),
})
const sums = { float32: make("vec2<f32>", "float32", "float32", compensatedSum), ...wholes(0, "a + b") }
const products = { float32: make("vec2<i32>", "float32", "float32", scaledProduct), ...wholes(1, "a * b") }
const isNonZero = "select(0, 1, x != 0)"

/** The fold of a reduction of elements of `dtype`. */
export function reduceFold(op: ReduceOperator, dtype: DType): Fold {
  const carrier = carrierOf(dtype)
  switch (op) {
    case "sum":
      return sums[carrier]
    case "prod":
      return products[carrier]
    case "max":
    case "min":
      return extreme(op === "max", carrier)
    case "argmax":
    case "argmin":
      return position(op === "argmax", carrier)
    case "any":
    case "all":
      if (carrier === "float32") throw new DTypeError(`reduce: ${op} is not defined for ${dtype}`)
      return op === "any" ? whole(carrier, 0, "a | b", isNonZero) : whole(carrier, 1, "a & b", isNonZero)
    default:
      return op satisfies never
  }
}

/** The last of equals, by its value (both zeros are equal, and which one it is shows) and position; a NaN stays. */
function running(max: boolean, carrier: Carrier): Fold {
  const type = wgslType(carrier)
  const source = `${orderSource(max, carrier)}
fn unit() -> State { return State(0, -1); }
fn lift(x: ${type}, position: i32) -> State { return State(bitcast<i32>(x), position); }
fn join(a: State, b: State) -> State {
  if (b.y < 0) { return a; }
  if (a.y < 0 || order(bitcast<${type}>(b.x)) ${max ? ">=" : "<="} order(bitcast<${type}>(a.x))) { return b; }
  return a;
}
fn result(a: State) -> ${type} { return bitcast<${type}>(a.x); }`
  return make("vec2<i32>", carrier, carrier, source)
}

/** The fold of a scan. For max and min, word `y` of a state is the position. */
export function scanFold(op: ScanKernel["op"], dtype: DType): Fold {
  const carrier = carrierOf(dtype)
  switch (op) {
    case "sum":
      return sums[carrier]
    case "prod":
      return products[carrier]
    case "max":
    case "min":
      return running(op === "max", carrier)
    default:
      return op satisfies never
  }
}

/** An element of `dtype` as what `lift` takes. */
export const carriedValue = (dtype: DType, value: string): string =>
  dtype === "bool" ? `select(0, 1, ${value})` : value

/** Words of a state. */
export const stateWords = ({ state }: Fold): number => (state === "i32" ? 1 : 2)

/** An expression for state `at` in scratch memory: all first words come first, then from word `plane` on all second ones. */
export function loadState(fold: Fold, slot: number, at: string, plane: string): string {
  if (stateWords(fold) === 1) return `bitcast<State>(load${slot}(${at}))`
  return `bitcast<State>(vec2<u32>(load${slot}(${at}), load${slot}(${plane} + ${at})))`
}

/** Statements that store `state` likewise. */
export function storeState(fold: Fold, slot: number, at: string, plane: string, state: string): string {
  if (stateWords(fold) === 1) return `store${slot}(${at}, bitcast<u32>(${state}));`
  return `let words = bitcast<vec2<u32>>(${state}); store${slot}(${at}, words.x); store${slot}(${plane} + ${at}, words.y);`
}
