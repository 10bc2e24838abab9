// The error function in double precision; nothing else.

// W. J. Cody, "Rational Chebyshev approximations for the error function", Math. Comp. 23 (1969), 631-637, with the
// coefficients of his CALERF (netlib specfun). Three ranges: |x| <= 0.46875, <= 4, and beyond.
const A = [3.1611237438705656, 113.864154151050156, 377.485237685302021, 3209.37758913846947, 0.185777706184603153]
const B = [23.6012909523441209, 244.024637934444173, 1282.61652607737228, 2844.23683343917062]
const C = [
  0.564188496988670089, 8.88314979438837594, 66.1191906371416295, 298.635138197400131, 881.95222124176909,
  1712.04761263407058, 2051.07837782607147, 1230.33935479799725, 2.15311535474403846e-8,
] // prettier-ignore
const D = [
  15.7449261107098347, 117.693950891312499, 537.181101862009858, 1621.38957456669019, 3290.79923573345963,
  4362.61909014324716, 3439.36767414372164, 1230.33935480374942,
] // prettier-ignore
const P = [0.305326634961232344, 0.360344899949804439, 0.125781726111229246, 0.0160837851487422766, 6.58749161529837803e-4, 0.0163153871373020978] // prettier-ignore
const Q = [2.56852019228982242, 1.87295284992346047, 0.527905102951428412, 0.0605183413124413191, 0.00233520497626869185]
const oneOverSqrtPi = 0.56418958354775628695

/** exp(-y * y) without the error that rounding y * y would bring: y is split at a sixteenth, as Cody does. */
function expOfMinusSquare(y: number): number {
  const head = Math.trunc(y * 16) / 16
  return Math.exp(-head * head) * Math.exp(-(y - head) * (y + head))
}

/** 1 - erf(y) for y > 0.46875. */
function complement(y: number): number {
  if (y <= 4) {
    let top = C[8] * y
    let bottom = y
    for (let i = 0; i < 7; i++) {
      top = (top + C[i]) * y
      bottom = (bottom + D[i]) * y
    }
    return (expOfMinusSquare(y) * (top + C[7])) / (bottom + D[7])
  }
  const z = 1 / (y * y)
  let top = P[5] * z
  let bottom = z
  for (let i = 0; i < 4; i++) {
    top = (top + P[i]) * z
    bottom = (bottom + Q[i]) * z
  }
  const r = (z * (top + P[4])) / (bottom + Q[4])
  return (expOfMinusSquare(y) * (oneOverSqrtPi - r)) / y
}

/** The error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to x. Odd; NaN for NaN. */
export function erf(x: number): number {
  const y = Math.abs(x)
  if (y <= 0.46875) {
    const z = y * y
    let top = A[4] * z
    let bottom = z
    for (let i = 0; i < 3; i++) {
      top = (top + A[i]) * z
      bottom = (bottom + B[i]) * z
    }
    return (x * (top + A[3])) / (bottom + B[3])
  }
  // From 5.93 on the result rounds to 1.
  const magnitude = y > 6 ? 1 : 1 - complement(y)
  return x !== x ? x : x < 0 ? -magnitude : magnitude
}
