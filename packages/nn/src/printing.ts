// Options as Python prints them, for the text of modules. Not public.

/** `True` or `False`. */
export const pythonBool = (value: boolean): string => (value ? "True" : "False")

/** A float's repr: `1.0`, `0.25`, `1e-05`. */
export function pythonFloat(x: number): string {
  if (Number.isInteger(x)) return `${x}.0`
  if (Math.abs(x) >= 1e-4) return String(x)
  return x.toExponential().replace(/e([+-])(\d)$/, "e$10$2")
}
