// WGSL functions of float32: logarithms and powers, within a few units in the last place over the whole range, denormal
// operands and results included.

/** Source of functions; {@link librarySource} takes from it what a shader needs. */
export const logarithm = /* wgsl */ `
// x = 2^k * (1 + f) with 1 + f between sqrt(1/2) and sqrt(2): f is exact.
struct LogParts { k: f32, f: f32 }
fn log_parts(x: f32) -> LogParts {
  let p = parts_of(x);
  let above = p.significand > 0xb504f3u;
  let mantissa = bitcast<f32>((p.significand & 0x7fffffu) | select(0x3f800000u, 0x3f000000u, above));
  return LogParts(f32(p.exponent - select(127, 126, above)), mantissa - 1.0);
}
// log(1 + f) - f: S. L. Moshier, Cephes, single/logf.c.
fn log_rest(f: f32) -> f32 {
  let p = ((((7.0376836292e-2 * f - 1.1514610310e-1) * f + 1.1676998740e-1) * f - 1.2420140846e-1) * f + 1.4249322787e-1) * f;
  let q = (((p - 1.6668057665e-1) * f + 2.0000714765e-1) * f - 2.4999993993e-1) * f + 3.3333331174e-1;
  let z = f * f;
  return f * z * q - 0.5 * z;
}
// What a logarithm of NaN, infinity, zero and negative numbers is; x itself for others.
fn log_edge(x: f32) -> f32 {
  let b = bitcast<u32>(x);
  if ((b & 0x7fffffffu) == 0u) { return bitcast<f32>(0xff800000u | hidden_zero()); }
  return select(x, nan(), b > 0x7f800000u);
}
fn log_ordinary(x: f32) -> bool { return bitcast<u32>(x) - 1u < 0x7f7fffffu; }

fn log_f(x: f32) -> f32 {
  if (!log_ordinary(x)) { return log_edge(x); }
  let a = log_parts(x);
  return a.k * 0.693359375 + (a.f + (log_rest(a.f) + a.k * -2.12194440e-4));
}
// log2(e) - 1 and log10(e) in two parts as in Cephes, single/log2f.c and log10f.c: products with the larger part are cut out
// of what must be exact. Powers of two have whole logarithms.
fn log2_f(x: f32) -> f32 {
  if (!log_ordinary(x)) { return log_edge(x); }
  let a = log_parts(x);
  let y = log_rest(a.f);
  return ((y * 0.44269504088896341 + a.f * 0.44269504088896341) + y + a.f) + a.k;
}
fn log10_f(x: f32) -> f32 {
  if (!log_ordinary(x)) { return log_edge(x); }
  let a = log_parts(x);
  let y = log_rest(a.f);
  let small = (a.f + y) * 7.00731903251827651129e-4 + y * 4.3359375e-1;
  return ((small + a.f * 4.3359375e-1) + a.k * 2.48745663981195213739e-4) + a.k * 3.0078125e-1;
}
// What rounding 1 + x lost is added to f again.
fn log1p_f(x: f32) -> f32 {
  let size = bitcast<u32>(x) & 0x7fffffffu;
  if (size < 0x33000000u || is_nan(x)) { return x; }
  let u = kept(1.0 + x);
  if (!log_ordinary(u)) { return log_edge(u); }
  let a = log_parts(u);
  // Nothing is lost that counts where u is large; 1 + x is then x.
  let lost = select(0.0, kept(x - kept(u - 1.0)) * bitcast<f32>(u32(127 - i32(clamp(a.k, -100.0, 100.0))) << 23u), u < 1e9);
  let f = a.f + lost;
  return a.k * 0.693359375 + (f + (log_rest(f) + a.k * -2.12194440e-4));
}

// log2(x) in two parts, the first of 12 bits: FreeBSD's msun, e_powf.c. (Copyright (C) 1993 by Sun Microsystems, Inc. All
// rights reserved. Permission to use, copy, modify, and distribute this software is freely granted, provided that this notice
// is preserved.)
fn log2_pair(x: f32) -> vec2<f32> {
  let p = parts_of(x);
  let j = p.significand & 0x7fffffu;
  let middle = j > 0x1cc471u && j < 0x5db3d7u;
  let upper = j >= 0x5db3d7u;
  let n = f32(p.exponent - select(127, 126, upper));
  let mantissa = j | select(0x3f800000u, 0x3f000000u, upper);
  let a = bitcast<f32>(mantissa);
  let point = select(1.0, 1.5, middle);
  let u = a - point;
  let v = 1.0 / (a + point);
  let s = u * v;
  let s_high = coarse(s);
  let t_high = bitcast<f32>((((mantissa >> 1u) & 0xfffff000u) | 0x20000000u) + 0x400000u + select(0u, 0x200000u, middle));
  let t_low = a - kept(t_high - point);
  let s_low = v * (kept(u - s_high * t_high) - s_high * t_low);
  let z = s * s;
  let series = ((((2.0697501302e-1 * z + 2.3066075146e-1) * z + 2.7272811532e-1) * z + 3.3333334327e-1) * z + 4.2857143283e-1) * z;
  let r = z * z * (series + 6.0000002384e-1) + s_low * (s_high + s);
  let square = s_high * s_high;
  let c_high = coarse(3.0 + square + r);
  let c_low = r - kept(kept(c_high - 3.0) - square);
  let w = s_high * c_high;
  let w_low = s_low * c_high + c_low * s;
  let p_high = coarse(w + w_low);
  let p_low = w_low - kept(p_high - w);
  let z_high = 9.6191406250e-1 * p_high;
  let z_low = -1.1736857402e-4 * p_high + p_low * 9.6179670095e-1 + select(0.0, 1.56322085e-6, middle);
  let base = select(0.0, 5.84960938e-1, middle);
  let high = coarse(((z_high + z_low) + base) + n);
  return vec2(high, z_low - kept(kept(kept(high - n) - base) - z_high));
}
// |x|^y for positive finite x and finite y.
fn power_of(x: f32, y: f32) -> f32 {
  var log2 = log2_pair(x);
  let size = abs_f(y);
  if (size > 134217728.0) {
    // Only x next to 1 has a finite power then: the series of the logarithm.
    if (x < 0.999999523 || x > 1.000000834) {
      return select(0.0, infinity(), (x > 1.0) == (y > 0.0));
    }
    let t = x - 1.0;
    let w = t * t * (0.5 - t * (0.333333333333 - t * 0.25));
    let u = 1.4426879883 * t;
    let v = t * 7.0526075433e-6 - w * 1.4426950216;
    let high = coarse(u + v);
    log2 = vec2(high, v - kept(high - u));
  }
  let y_high = coarse(y);
  let low = (y - y_high) * log2.x + y * log2.y;
  let high = y_high * log2.x;
  let whole = low + high;
  if (whole > 130.0) { return infinity(); }
  if (whole < -152.0) { return 0.0; }
  let n = round(whole);
  let rest = kept(high - n) + low;
  return scaled(1.0 + expm1_near(rest * 0.69314718056), i32(n));
}
// 0: y is not whole, 1: odd, 2: even.
fn parity_of(y: f32) -> u32 {
  let b = bitcast<u32>(y) & 0x7fffffffu;
  if (b < 0x3f800000u) { return select(0u, 2u, b == 0u); }
  if (b >= 0x4b800000u) { return 2u; }
  let last = 0x800000u >> ((b >> 23u) - 127u);
  let significand = (b & 0x7fffffu) | 0x800000u;
  if ((significand & (last - 1u)) != 0u) { return 0u; }
  return select(2u, 1u, (significand & last) != 0u);
}
// C's pow (C99 F.9.4.4).
fn pow_f(x: f32, y: f32) -> f32 {
  let bx = bitcast<u32>(x);
  let by = bitcast<u32>(y);
  let size = bx & 0x7fffffffu;
  let power = by & 0x7fffffffu;
  // These are 1 whatever the other operand is, NaN included; -1 to an infinite power is 1 too.
  if (bx == 0x3f800000u || power == 0u || (size == 0x3f800000u && power == 0x7f800000u)) { return 1.0; }
  if (size > 0x7f800000u || power > 0x7f800000u) { return nan(); }
  let negative = by >= 0x80000000u;
  let parity = parity_of(y);
  let sign = select(0u, 0x80000000u, bx >= 0x80000000u && parity == 1u);
  if (power == 0x7f800000u) { return select(0.0, infinity(), (size > 0x3f800000u) != negative); }
  if (size == 0u || size == 0x7f800000u) {
    return bitcast<f32>(sign | select(0u, bitcast<u32>(infinity()), (size != 0u) != negative));
  }
  if (bx >= 0x80000000u && parity == 0u) { return nan(); }
  return bitcast<f32>(sign | bitcast<u32>(power_of(bitcast<f32>(size), y)));
}
`
