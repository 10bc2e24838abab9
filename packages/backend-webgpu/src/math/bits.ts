// WGSL functions of float32 that work on the bits: comparisons, signs, rounding, division, square root and remainder. They are exact
// on every device: also where drivers flush denormals, take NaN for impossible, or divide with an error.

/** Source of functions; {@link librarySource} takes from it what a shader needs. */
export const bits = /* wgsl */ `
fn is_nan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }

// Zero, but compilers do not know: no buffer has no words. (Mesa's know that there are less than 2^31, as words have four bytes.)
fn hidden_zero() -> u32 { return u32(arrayLength(&slot0) == 0u); }

fn nan() -> f32 { return bitcast<f32>(0x7fc00000u | hidden_zero()); }

fn infinity() -> f32 { return bitcast<f32>(0x7f800000u | hidden_zero()); }

// x, of which compilers that reorder sums know nothing: what is subtracted from it is not cancelled against its parts.
fn kept(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) | hidden_zero()); }

// The first 12 bits of the significand: products of two such numbers are exact.
fn coarse(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) & 0xfffff000u); }

fn with_sign(size: f32, sign: f32) -> f32 {
  return bitcast<f32>((bitcast<u32>(size) & 0x7fffffffu) | (bitcast<u32>(sign) & 0x80000000u));
}

// Integers in the order of the floats; both zeros are 0. NaN is beyond the infinities.
fn order_of(x: f32) -> i32 {
  let size = bitcast<i32>(x) & 0x7fffffff;
  return select(size, -size, bitcast<i32>(x) < 0);
}

fn eq_f(x: f32, y: f32) -> bool { return order_of(x) == order_of(y) && !is_nan(x); }
fn ne_f(x: f32, y: f32) -> bool { return order_of(x) != order_of(y) || is_nan(x); }
fn lt_f(x: f32, y: f32) -> bool { return order_of(x) < order_of(y) && !is_nan(x) && !is_nan(y); }
fn le_f(x: f32, y: f32) -> bool { return order_of(x) <= order_of(y) && !is_nan(x) && !is_nan(y); }
fn gt_f(x: f32, y: f32) -> bool { return lt_f(y, x); }
fn ge_f(x: f32, y: f32) -> bool { return le_f(y, x); }

fn max_f(x: f32, y: f32) -> f32 {
  return select(y, x, is_nan(x) || (order_of(x) >= order_of(y) && !is_nan(y)));
}
fn min_f(x: f32, y: f32) -> f32 {
  return select(y, x, is_nan(x) || (order_of(x) <= order_of(y) && !is_nan(y)));
}

fn neg_f(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) ^ 0x80000000u); }
fn abs_f(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) & 0x7fffffffu); }

fn trunc_f(x: f32) -> f32 {
  let b = bitcast<u32>(x);
  let exponent = (b >> 23u) & 255u;
  if (exponent >= 150u) { return x; }
  if (exponent < 127u) { return bitcast<f32>(b & 0x80000000u); }
  return bitcast<f32>(b & ~(0x7fffffu >> (exponent - 127u)));
}
// Away from zero if x has the given sign and is not whole; from 1 on, one more is one more in the last bit kept.
fn rounded_to(x: f32, sign: u32) -> f32 {
  let b = bitcast<u32>(x);
  let whole = trunc_f(x);
  if ((b & 0x80000000u) != sign || bitcast<u32>(whole) == b) { return whole; }
  if ((b & 0x7fffffffu) < 0x3f800000u) { return bitcast<f32>(sign | 0x3f800000u); }
  return bitcast<f32>(bitcast<u32>(whole) + (0x800000u >> (((b >> 23u) & 255u) - 127u)));
}
fn floor_f(x: f32) -> f32 { return rounded_to(x, 0x80000000u); }
fn ceil_f(x: f32) -> f32 { return rounded_to(x, 0u); }
// Ties to even.
fn round_f(x: f32) -> f32 {
  let b = bitcast<u32>(x);
  let sign = b & 0x80000000u;
  let size = b & 0x7fffffffu;
  if (size >= 0x4b000000u) { return x; }
  if (size <= 0x3f000000u) { return bitcast<f32>(sign); }
  if (size < 0x3f800000u) { return bitcast<f32>(sign | 0x3f800000u); }
  let last = 0x800000u >> ((size >> 23u) - 127u);
  let even = select(0u, 1u, (size & last) != 0u);
  return bitcast<f32>(sign | ((size + (last >> 1u) - 1u + even) & ~(last - 1u)));
}

// |x| = significand * 2^(exponent - 150), with a significand of 24 bits for denormals too.
struct Parts { significand: u32, exponent: i32 }
fn parts_of(x: f32) -> Parts {
  let size = bitcast<u32>(x) & 0x7fffffffu;
  if (size < 0x800000u) {
    let up = countLeadingZeros(size) - 8u;
    return Parts(size << up, 1 - i32(up));
  }
  return Parts((size & 0x7fffffu) | 0x800000u, i32(size >> 23u));
}

// significand * 2^(exponent - 151), rounded to the nearest, ties to even; the significand has 25 bits, and more follow
// below them if sticky.
fn packed(sign: u32, significand: u32, exponent: i32, sticky: bool) -> f32 {
  if (exponent >= 255) { return bitcast<f32>(sign | 0x7f800000u | hidden_zero()); }
  let normal = max(exponent, 1);
  let down = u32(min(1 + normal - exponent, 26));
  let kept_bits = significand >> down;
  let rest = significand & ((1u << down) - 1u);
  let half = 1u << (down - 1u);
  let up = rest > half || (rest == half && (sticky || (kept_bits & 1u) != 0u));
  return bitcast<f32>(sign | ((u32(normal - 1) << 23u) + kept_bits + select(0u, 1u, up)));
}

// x * 2^n for normal x, denormal and infinite results included.
fn scaled(x: f32, n: i32) -> f32 {
  let b = bitcast<u32>(x);
  let exponent = i32((b >> 23u) & 255u) + n;
  if (exponent > 0 && exponent < 255) { return bitcast<f32>(b + (bitcast<u32>(n) << 23u)); }
  return packed(b & 0x80000000u, ((b & 0x7fffffu) | 0x800000u) << 1u, exponent, false);
}

// The quotient's first 25 bits from a float quotient that may be off by some ulp: the remainder is exact in 32 bits and corrects it.
fn div_f(x: f32, y: f32) -> f32 {
  let sign = (bitcast<u32>(x) ^ bitcast<u32>(y)) & 0x80000000u;
  let top = bitcast<u32>(x) & 0x7fffffffu;
  let bottom = bitcast<u32>(y) & 0x7fffffffu;
  if (max(top, bottom) >= 0x7f800000u || min(top, bottom) == 0u) {
    if (max(top, bottom) > 0x7f800000u || top == bottom) { return nan(); }
    return select(bitcast<f32>(sign), bitcast<f32>(sign | bitcast<u32>(infinity())), top == 0x7f800000u || bottom == 0u);
  }
  let a = parts_of(x);
  let b = parts_of(y);
  let less = select(0u, 1u, a.significand < b.significand);
  let divisor = f32(i32(b.significand));
  let guess = f32(i32(a.significand)) / divisor;
  var quotient = u32(i32(guess * select(16777216.0, 33554432.0, less == 1u)));
  var rest = bitcast<i32>((a.significand << (24u + less)) - quotient * b.significand);
  let correction = i32(floor(f32(rest) / divisor));
  quotient = quotient + bitcast<u32>(correction);
  rest = rest - correction * i32(b.significand);
  if (rest < 0) {
    quotient = quotient - 1u;
    rest = rest + i32(b.significand);
  } else if (rest >= i32(b.significand)) {
    quotient = quotient + 1u;
    rest = rest - i32(b.significand);
  }
  return packed(sign, quotient, a.exponent - b.exponent + 127 - i32(less), rest != 0);
}

// As the quotient: a first guess, and a remainder that corrects it.
fn sqrt_f(x: f32) -> f32 {
  let b = bitcast<u32>(x);
  if ((b & 0x7fffffffu) == 0u || b == 0x7f800000u) { return x; }
  if (b > 0x7f800000u) { return nan(); }
  let p = parts_of(x);
  // x = s * 2^k with k odd.
  let odd = (p.exponent & 1) == 1;
  let s = select(p.significand << 1u, p.significand, odd);
  let k = p.exponent - select(151, 150, odd);
  var root = u32(i32(sqrt(f32(i32(s << 1u))) * 4096.0));
  let radicand = s << 25u;
  let first = bitcast<i32>(radicand - root * root);
  root = root + bitcast<u32>(i32(round(f32(first) / (2.0 * f32(i32(root))))));
  var rest = bitcast<i32>(radicand - root * root);
  if (rest < 0) {
    root = root - 1u;
    rest = rest + i32(2u * root + 1u);
  } else if (rest > i32(2u * root)) {
    rest = rest - i32(2u * root + 1u);
    root = root + 1u;
  }
  return packed(0u, root, 151 + ((k - 25) >> 1u), rest != 0);
}

// C's fmod, exact: long division, eight bits of the quotient at a time.
fn mod_f(x: f32, y: f32) -> f32 {
  let sign = bitcast<u32>(x) & 0x80000000u;
  let top = bitcast<u32>(x) & 0x7fffffffu;
  let bottom = bitcast<u32>(y) & 0x7fffffffu;
  if (top >= 0x7f800000u || bottom > 0x7f800000u || bottom == 0u) { return nan(); }
  if (top < bottom) { return x; }
  let a = parts_of(x);
  let b = parts_of(y);
  var left = a.exponent - b.exponent;
  var rest = a.significand % b.significand;
  while (left > 0 && rest != 0u) {
    let step = min(left, 8);
    rest = (rest << u32(step)) % b.significand;
    left = left - step;
  }
  if (rest == 0u) { return bitcast<f32>(sign); }
  let up = countLeadingZeros(rest) - 8u;
  return packed(sign, rest << (up + 1u), b.exponent - i32(up), false);
}

// Rounded once: both halves are exact.
fn float_of_i32(x: i32) -> f32 { return f32(x & -256) + f32(x & 255); }
fn float_of_u32(x: u32) -> f32 { return f32(x & 0xffffff00u) + f32(x & 255u); }

// Towards zero, and to the ends of the range; NaN gives 0.
fn i32_of_float(x: f32) -> i32 {
  let b = bitcast<u32>(x);
  let exponent = (b >> 23u) & 255u;
  if (exponent < 127u || is_nan(x)) { return 0; }
  if (exponent >= 158u) { return select(2147483647, -2147483647 - 1, b >= 0x80000000u); }
  let significand = (b & 0x7fffffu) | 0x800000u;
  let size = i32(select(significand >> (150u - min(exponent, 150u)), significand << (max(exponent, 150u) - 150u), exponent > 150u));
  return select(size, -size, b >= 0x80000000u);
}
// Likewise, but negative numbers wrap.
fn u32_of_float(x: f32) -> u32 {
  let b = bitcast<u32>(x);
  let exponent = b >> 23u;
  // From 2^31 on; beyond the sign bit are negative numbers.
  if (exponent < 158u || b >= 0x80000000u || is_nan(x)) { return bitcast<u32>(i32_of_float(x)); }
  return select(0xffffffffu, ((b & 0x7fffffu) | 0x800000u) << 8u, exponent == 158u);
}
`
