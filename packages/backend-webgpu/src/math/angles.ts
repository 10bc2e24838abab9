// WGSL functions of float32: trigonometric functions, right for every angle however large, and their inverses.

/** Source of functions; {@link librarySource} takes from it what a shader needs. */
export const angles = /* wgsl */ `
// The upper half of the 64-bit product.
fn high_product(a: u32, b: u32) -> u32 {
  let a_low = a & 0xffffu;
  let a_high = a >> 16u;
  let b_low = b & 0xffffu;
  let b_high = b >> 16u;
  let first = a_high * b_low + ((a_low * b_low) >> 16u);
  let second = a_low * b_high + (first & 0xffffu);
  return a_high * b_high + (first >> 16u) + (second >> 16u);
}

// 32 bits of 2/pi, after 32 zeros for the sake of small angles.
fn two_over_pi(word: u32) -> u32 {
  switch (word) {
    case 1u: { return 0xa2f9836eu; }
    case 2u: { return 0x4e441529u; }
    case 3u: { return 0xfc2757d1u; }
    case 4u: { return 0xf534ddc0u; }
    case 5u: { return 0xdb629599u; }
    case 6u: { return 0x3c439041u; }
    case 7u: { return 0xfe5163abu; }
    default: { return 0u; }
  }
}
// An angle as a number of quarter turns and a rest of at most pi/4: x times those 96 bits of 2/pi that reach from the turns to far
// below the last bit of the rest (M. Payne, R. Hanek, SIGNUM Newsletter 18, 1983). Whole numbers only, so nothing is lost.
struct Angle { r: f32, turns: u32 }
fn angle_of(x: f32) -> Angle {
  let b = bitcast<u32>(x);
  let size = b & 0x7fffffffu;
  // Up to pi/4; infinite and NaN have no angle.
  if (size <= 0x3f490fdau) { return Angle(x, 0u); }
  if (size >= 0x7f800000u) { return Angle(nan(), 0u); }
  let m = (size & 0x7fffffu) | 0x800000u;
  let start = (size >> 23u) - 120u;
  let word = start >> 5u;
  let shift = start & 31u;
  let w0 = two_over_pi(word);
  let w1 = two_over_pi(word + 1u);
  let w2 = two_over_pi(word + 2u);
  let w3 = two_over_pi(word + 3u);
  // A shift by 32 in two steps, since WGSL has none.
  let c0 = (w0 << shift) | ((w1 >> 1u) >> (31u - shift));
  let c1 = (w1 << shift) | ((w2 >> 1u) >> (31u - shift));
  let c2 = (w2 << shift) | ((w3 >> 1u) >> (31u - shift));
  // Two bits of turns and 62 of the rest, modulo 4 turns.
  let carry = high_product(m, c2);
  let low = m * c1 + carry;
  let high = m * c0 + high_product(m, c1) + select(0u, 1u, low < carry);
  var turns = high >> 30u;
  var top = (high << 2u) | (low >> 30u);
  var bottom = low << 2u;
  // To the nearest number of turns; the rest may be negative.
  let over = top >= 0x80000000u;
  if (over) {
    turns = turns + 1u;
    bottom = ~bottom + 1u;
    top = ~top + select(0u, 1u, bottom == 0u);
  }
  let up = countLeadingZeros(top);
  let fraction = (top << up) | ((bottom >> 1u) >> (31u - min(up, 31u)));
  // Times pi/2, of which these are the bits.
  let r = f32(high_product(fraction, 0xc90fdaa2u)) * bitcast<f32>((96u - up) << 23u);
  let negative = b >= 0x80000000u;
  return Angle(select(r, -r, over != negative), select(turns, 0u - turns, negative));
}
// For |r| <= pi/4: S. L. Moshier, Cephes, single/sinf.c.
fn sin_near(r: f32) -> f32 {
  let z = r * r;
  return r + r * z * ((-1.9515295891e-4 * z + 8.3321608736e-3) * z - 1.6666654611e-1);
}
fn cos_near(r: f32) -> f32 {
  let z = r * r;
  return 1.0 - 0.5 * z + z * z * ((2.443315711809948e-5 * z - 1.388731625493765e-3) * z + 4.166664568298827e-2);
}
// The same from Cephes, single/tanf.c.
fn tan_near(r: f32) -> f32 {
  let z = r * r;
  let p = ((9.38540185543e-3 * z + 3.11992232697e-3) * z + 2.44301354525e-2) * z + 5.34112807005e-2;
  return r + r * z * ((p * z + 1.33387994085e-1) * z + 3.33331568548e-1);
}
fn sin_f(x: f32) -> f32 {
  if ((bitcast<u32>(x) & 0x7fffffffu) < 0x39000000u) { return x; }
  let a = angle_of(x);
  let y = select(sin_near(a.r), cos_near(a.r), (a.turns & 1u) != 0u);
  return select(y, -y, (a.turns & 2u) != 0u);
}
fn cos_f(x: f32) -> f32 {
  let a = angle_of(x);
  let y = select(cos_near(a.r), sin_near(a.r), (a.turns & 1u) != 0u);
  return select(y, -y, ((a.turns + 1u) & 2u) != 0u);
}
fn tan_f(x: f32) -> f32 {
  if ((bitcast<u32>(x) & 0x7fffffffu) < 0x39000000u) { return x; }
  let a = angle_of(x);
  if (is_nan(a.r)) { return a.r; }
  let t = tan_near(a.r);
  return select(t, div_f(-1.0, t), (a.turns & 1u) != 0u);
}

// The angle of the point (x, y): the smaller over the larger, whose angle is a + a^3 * (a minimax fit in a^2, Remez' exchange in 50
// digits, relative error 1.7e-8), then the octant.
fn atan2_f(y: f32, x: f32) -> f32 {
  if (is_nan(x) || is_nan(y)) { return nan(); }
  let height = bitcast<u32>(y) & 0x7fffffffu;
  let width = bitcast<u32>(x) & 0x7fffffffu;
  let top = bitcast<f32>(min(height, width));
  let bottom = bitcast<f32>(max(height, width));
  var a = 1.0;
  if (min(height, width) == 0u) { a = 0.0; }
  else if (height != width) { a = div_f(top, bottom); }
  let steep = height > width;
  let left = bitcast<u32>(x) >= 0x80000000u;
  // Such a quotient is its own angle; it may be denormal.
  if (bitcast<u32>(a) >= 0x39000000u) {
    let z = a * a;
    let p = (((2.920695989e-3 * z - 1.63679424e-2) * z + 4.321188305e-2) * z - 7.552216058e-2) * z + 1.066600542e-1;
    a = a + a * z * (((p * z - 1.421105549e-1) * z + 1.999377286e-1) * z - 3.333315274e-1);
  } else if (!steep && !left) { return with_sign(a, y); }
  // pi/2 and pi less a: what rounding them lost is -4.37e-8 and -8.74e-8.
  if (steep) { a = select(1.57079637 - (a + 4.37113883e-8), 1.57079637 + (a - 4.37113883e-8), left); }
  else if (left) { a = 3.14159274 - (a + 8.74227766e-8); }
  return with_sign(a, y);
}
fn atan_f(x: f32) -> f32 { return atan2_f(x, 1.0); }

// asin(x) = x + this for |x| <= 1/2: Cephes, single/asinf.c.
fn asin_rest(x: f32, z: f32) -> f32 {
  let p = ((4.2163199048e-2 * z + 2.4181311049e-2) * z + 4.5470025998e-2) * z + 7.4953002686e-2;
  return x * z * (p * z + 1.6666752422e-1);
}
// asin(x) = pi/2 - 2 asin(sqrt((1 - x) / 2)).
fn asin_f(x: f32) -> f32 {
  let size = abs_f(x);
  if (is_nan(x) || size > 1.0) { return nan(); }
  if (size <= 0.5) { return select(x + asin_rest(x, x * x), x, bitcast<u32>(size) < 0x39000000u); }
  let z = 0.5 * (1.0 - size);
  let s = sqrt_f(z);
  return with_sign(1.57079637 - (2.0 * (s + asin_rest(s, z)) + 4.37113883e-8), x);
}
fn acos_f(x: f32) -> f32 {
  let size = abs_f(x);
  if (is_nan(x) || size > 1.0) { return nan(); }
  if (size <= 0.5) { return 1.57079637 - (x + (asin_rest(x, x * x) + 4.37113883e-8)); }
  let z = 0.5 * (1.0 - size);
  let s = sqrt_f(z);
  let half = s + asin_rest(s, z);
  return select(2.0 * half, 3.14159274 - (2.0 * half + 8.74227766e-8), x < 0.0);
}
`
