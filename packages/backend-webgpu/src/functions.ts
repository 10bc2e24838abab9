// The library of WGSL functions: operators that WGSL lacks, leaves inaccurate, or defines otherwise than the contract.
import { type DType, DTypeError, type Operator } from "@rondo/backend"
import { wgslType } from "./types.js"

interface Source {
  readonly source: string
  /** Other functions that it calls. */
  readonly needs?: readonly string[]
}

const unary = (name: string, type: string, body: string, needs: readonly string[] = []): [string, Source] => [
  name,
  { source: `fn ${name}(x: ${type}) -> ${type} { ${body} }`, needs },
]
const binary = (name: string, type: string, body: string, needs: readonly string[] = []): [string, Source] => [
  name,
  { source: `fn ${name}(x: ${type}, y: ${type}) -> ${type} { ${body} }`, needs },
]

/** All functions by name: the operator, then `_f` for floats or `_i` for integers. */
const library = new Map<string, Source>([
  ["is_nan", { source: "fn is_nan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }" }],
  unary("neg_f", "f32", "return -x;"),
  unary("abs_f", "f32", "return abs(x);"),
  unary("sqrt_f", "f32", "return sqrt(x);"),
  unary("floor_f", "f32", "return floor(x);"),
  unary("ceil_f", "f32", "return ceil(x);"),
  unary("round_f", "f32", "return round(x);"),
  unary("trunc_f", "f32", "return trunc(x);"),
  unary("exp_f", "f32", "return exp(x);"),
  unary("expm1_f", "f32", "return exp(x) - 1.0;"),
  unary("log_f", "f32", "return log(x);"),
  unary("log1p_f", "f32", "return log(1.0 + x);"),
  unary("log2_f", "f32", "return log2(x);"),
  unary("log10_f", "f32", "return log(x) * 0.4342944819;"),
  unary("sin_f", "f32", "return sin(x);"),
  unary("cos_f", "f32", "return cos(x);"),
  unary("tan_f", "f32", "return tan(x);"),
  unary("asin_f", "f32", "return asin(x);"),
  unary("acos_f", "f32", "return acos(x);"),
  unary("atan_f", "f32", "return atan(x);"),
  unary("sinh_f", "f32", "return sinh(x);"),
  unary("cosh_f", "f32", "return cosh(x);"),
  unary("tanh_f", "f32", "return tanh(x);"),
  unary("sigmoid_f", "f32", "let z = exp(-abs(x)); return select(z, 1.0, x >= 0.0) / (1.0 + z);"),
  unary("erf_f", "f32", "return x;"),
  binary("div_f", "f32", "return x / y;"),
  binary("mod_f", "f32", "return x % y;"),
  binary("pow_f", "f32", "return pow(x, y);"),
  binary("atan2_f", "f32", "return atan2(x, y);"),
  binary("max_f", "f32", "if (is_nan(x)) { return x; } if (is_nan(y)) { return y; } return max(x, y);", ["is_nan"]),
  binary("min_f", "f32", "if (is_nan(x)) { return x; } if (is_nan(y)) { return y; } return min(x, y);", ["is_nan"]),
  unary("neg_i", "i32", "return -x;"),
  unary("abs_i", "i32", "return abs(x);"),
  unary("not_i", "i32", "return ~x;"),
  binary("div_i", "i32", "return select(x / select(y, 1, y == 0), 0, y == 0);"),
  binary("mod_i", "i32", "return select(x % select(y, 1, y == 0), 0, y == 0);"),
  binary("max_i", "i32", "return max(x, y);"),
  binary("min_i", "i32", "return min(x, y);"),
  binary("shl_i", "i32", "return x << (u32(y) & 31u);"),
  binary("shr_i", "i32", "return x >> (u32(y) & 31u);"),
  binary("shl_b", "i32", "return x << (u32(y) & 7u);"),
  binary("shr_b", "i32", "return x >> (u32(y) & 7u);"),
  binary(
    "pow_i",
    "i32",
    `if (y < 0) { return select(0, select(1, -1, x == -1 && (y & 1) != 0), x == 1 || x == -1); }
  var result = 1; var base = x; var left = y;
  while (left > 0) { if ((left & 1) != 0) { result = result * base; } base = base * base; left = left >> 1u; }
  return result;`,
  ),
])

/** The name of the function for an operator on operands of `dtype`. */
export function functionSource(op: Operator, dtype: DType): string {
  const suffix = wgslType(dtype) === "f32" ? "_f" : dtype === "uint8" && (op === "shl" || op === "shr") ? "_b" : "_i"
  const name = `${op}${suffix}`
  if (!library.has(name)) throw new DTypeError(`map: operator ${op} is not defined for ${dtype}`)
  return name
}

/** The source of functions and of all that they call. */
export function librarySource(names: Iterable<string>): string {
  const wanted = new Set(names)
  for (const name of wanted) for (const needed of library.get(name)?.needs ?? []) wanted.add(needed)
  return [...wanted].map((name) => (library.get(name) as Source).source).join("\n")
}
