// WGSL functions of 32-bit integers, signed, in which uint8 is computed too, and unsigned: what C leaves open is as the contract
// says.

/** Source of functions; {@link librarySource} takes from it what a shader needs. */
export const integers = /* wgsl */ `
fn neg_i(x: i32) -> i32 { return -x; }
fn abs_i(x: i32) -> i32 { return abs(x); }
fn not_i(x: i32) -> i32 { return ~x; }
// Truncates; by 0 it is 0. The least number divided by -1 is itself, as if it wrapped.
fn div_i(x: i32, y: i32) -> i32 {
  if (y == 0) { return 0; }
  if (y == -1) { return -x; }
  return x / y;
}
fn mod_i(x: i32, y: i32) -> i32 {
  if (y == 0 || y == -1) { return 0; }
  return x - x / y * y;
}
fn max_i(x: i32, y: i32) -> i32 { return max(x, y); }
fn min_i(x: i32, y: i32) -> i32 { return min(x, y); }
fn shl_i(x: i32, y: i32) -> i32 { return x << (u32(y) & 31u); }
fn shr_i(x: i32, y: i32) -> i32 { return x >> (u32(y) & 31u); }
// Of uint8.
fn shl_b(x: i32, y: i32) -> i32 { return x << (u32(y) & 7u); }
fn shr_b(x: i32, y: i32) -> i32 { return x >> (u32(y) & 7u); }
// By squaring; to a negative power only 1 and -1 are not 0.
fn pow_i(x: i32, y: i32) -> i32 {
  if (y < 0) {
    if (x == 1) { return 1; }
    if (x == -1) { return select(1, -1, (y & 1) != 0); }
    return 0;
  }
  return bitcast<i32>(wrapping_power(bitcast<u32>(x), u32(y)));
}
fn wrapping_power(x: u32, y: u32) -> u32 {
  var result = 1u;
  var base = x;
  var left = y;
  while (left != 0u) {
    if ((left & 1u) != 0u) { result = result * base; }
    base = base * base;
    left = left >> 1u;
  }
  return result;
}
// Of uint32.
fn neg_u(x: u32) -> u32 { return 0u - x; }
fn abs_u(x: u32) -> u32 { return x; }
fn not_u(x: u32) -> u32 { return ~x; }
fn div_u(x: u32, y: u32) -> u32 {
  if (y == 0u) { return 0u; }
  return x / y;
}
fn mod_u(x: u32, y: u32) -> u32 {
  if (y == 0u) { return 0u; }
  return x % y;
}
fn max_u(x: u32, y: u32) -> u32 { return max(x, y); }
fn min_u(x: u32, y: u32) -> u32 { return min(x, y); }
fn shl_u(x: u32, y: u32) -> u32 { return x << (y & 31u); }
fn shr_u(x: u32, y: u32) -> u32 { return x >> (y & 31u); }
fn pow_u(x: u32, y: u32) -> u32 { return wrapping_power(x, y); }
`
