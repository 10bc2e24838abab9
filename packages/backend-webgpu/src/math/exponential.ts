// WGSL functions of float32 that come from e^x, within a few units in the last place over the whole range. The formulas are
// those of the wasm-simd backend; what must not overflow or be flushed is scaled by integers.

/** Source of functions; {@link librarySource} takes from it what a shader needs. */
export const exponential = /* wgsl */ `
// x = n ln 2 + r with |r| <= ln(2) / 2. The first part of ln 2 has so few bits that its product with n is exact.
struct Reduced { r: f32, n: f32 }
fn reduced(x: f32) -> Reduced {
  let n = round(x * 1.44269504088896341);
  return Reduced(kept(x - n * 0.693359375) - n * -2.12194440e-4, n);
}
// e^r - 1: S. L. Moshier, Cephes, single/expf.c.
fn expm1_near(r: f32) -> f32 {
  let p = ((((1.9875691500e-4 * r + 1.3981999507e-3) * r + 8.3334519073e-3) * r + 4.1665795894e-2) * r + 1.6666665459e-1) * r;
  return r + r * r * (p + 5.0000001201e-1);
}
// e^x * 2^shift.
fn exp_times(x: f32, shift: i32) -> f32 {
  if (is_nan(x)) { return x; }
  // Beyond these the result is infinite or rounds to 0 anyway.
  let a = reduced(clamp(x, -120.0, 120.0));
  return scaled(1.0 + expm1_near(a.r), i32(a.n) + shift);
}
fn exp_f(x: f32) -> f32 { return exp_times(x, 0); }

fn expm1_f(x: f32) -> f32 {
  let size = bitcast<u32>(x) & 0x7fffffffu;
  if (size < 0x33000000u || is_nan(x)) { return x; }
  if (x < -18.0) { return -1.0; }
  if (x > 88.8) { return infinity(); }
  let a = reduced(x);
  let p = expm1_near(a.r);
  if (a.n == 0.0) { return p; }
  // 2^n itself may be out of range: its half is not.
  let half = bitcast<f32>(u32(i32(a.n) + 126) << 23u);
  return scaled(half * p + (half - 0.5), 1);
}

fn sinh_f(x: f32) -> f32 {
  let size = abs_f(x);
  if (bitcast<u32>(size) < 0x39000000u || is_nan(x)) { return x; }
  if (size < 1.0) {
    // The Taylor series.
    let z = x * x;
    let p = ((2.7557319224e-6 * z + 1.9841269841e-4) * z + 8.3333333333e-3) * z + 1.6666666667e-1;
    return x + x * z * p;
  }
  let half = exp_times(size, -1);
  return with_sign(select(half, half - 0.25 / min(half, 1e9), size < 20.0), x);
}
fn cosh_f(x: f32) -> f32 {
  let size = abs_f(x);
  let half = exp_times(size, -1);
  return select(half, half + 0.25 / min(half, 1e9), size < 20.0);
}

// e^x where that is neither denormal nor infinite.
fn exp_normal(x: f32) -> f32 {
  let a = reduced(x);
  return bitcast<f32>(bitcast<u32>(1.0 + expm1_near(a.r)) + (bitcast<u32>(i32(a.n)) << 23u));
}

// 1 - 2 / (e^2|x| + 1); near 0 an odd polynomial: Cephes, single/tanhf.c. Both are computed and one is chosen: neighbouring
// threads need both anyway.
fn tanh_f(x: f32) -> f32 {
  let size = abs_f(x);
  let t = min(size, 1.0);
  let z = t * t;
  let p = (((-5.70498872745e-3 * z + 2.06390887954e-2) * z - 5.37397155531e-2) * z + 1.33314422036e-1) * z - 3.33332819422e-1;
  // From 9.011 on the result rounds to 1.
  let far = 1.0 - 2.0 / (exp_normal(2.0 * min(size, 9.1)) + 1.0);
  let y = with_sign(select(far, t + t * z * p, size < 0.625), x);
  return select(y, x, size < 2e-4 || is_nan(x));
}

// 1 / (1 + z) or z / (1 + z) with z = e^-|x|, which cannot overflow.
fn sigmoid_f(x: f32) -> f32 {
  // Here z may be denormal, and dividing it would lose it.
  if (x < -30.0) { return exp_times(x, 0); }
  let z = exp_normal(-min(abs_f(x), 40.0));
  let y = select(z, 1.0, x >= 0.0) / (1.0 + z);
  return select(y, x, is_nan(x));
}

// Up to 475/512 an odd polynomial, above it 1 - exp(-|x| * polynomial). Coefficients and split by N. Juffa, posted at
// https://stackoverflow.com/questions/35148198.
fn erf_f(x: f32) -> f32 {
  if (is_nan(x)) { return x; }
  let size = abs_f(x);
  if (size < 0.927734375) {
    // Products must not become denormal on the way.
    if (bitcast<u32>(size) < 0x0d800000u) { return scaled_up(x, 1.1283791671); }
    let z = x * x;
    let p = ((((-5.96761703e-4 * z + 4.99119423e-3) * z - 2.67681349e-2) * z + 1.12819925e-1) * z - 3.76125336e-1) * z;
    return x + x * (p + 1.28379166e-1);
  }
  // From 3.92 on the result rounds to 1; the polynomial goes on to decrease until 4.
  let t = min(size, 4.0);
  let p = ((((-1.72853470e-5 * t + 3.83197126e-4) * t - 3.88396438e-3) * t + 2.42546219e-2) * t - 1.06777877e-1) * t;
  let y = ((p - 6.34846687e-1) * t - 1.28717512e-1) * t - t;
  return with_sign(1.0 - exp_times(y, 0), x);
}
// x * factor, for denormal x too; the factor lies between 1 and 2.
fn scaled_up(x: f32, factor: f32) -> f32 {
  if ((bitcast<u32>(x) & 0x7fffffffu) == 0u) { return x; }
  let p = parts_of(x);
  return with_sign(scaled(f32(p.significand) * factor, p.exponent - 150), x);
}
`
