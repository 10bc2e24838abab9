// Which known name a wrong one most likely means: for errors. Compares names alone, not what they stand for.

const plain = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]/g, "")
/** First letters of the words of `learningRate` or `learning_rate`: "lr". */
const initials = (name: string): string => (name.match(/^[a-z]|(?<=[_-])[a-z]|[A-Z]/g) ?? []).join("").toLowerCase()

/** Letters to add, leave out, change or swap with their neighbour, to make `b` of `a` (Damerau 1964). */
function edits(a: string, b: string): number {
  let [before, last] = [[] as number[], Array.from({ length: b.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      row[j] = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) row[j] = Math.min(row[j], before[j - 2] + 1)
    }
    ;[before, last] = [last, row]
  }
  return last[b.length]
}

/** How far apart two names are: 0 for the same one in another spelling, above 0.5 for names that have nothing to do with each other. */
function distance(given: string, known: string): number {
  const [a, b] = [plain(given), plain(known)]
  if (a === b) return 0
  const short = Math.min(a.length, b.length)
  if (short >= 2 && (initials(given) === b || initials(known) === a)) return 0.1
  const apart = edits(a, b) / Math.max(a.length, b.length, 1)
  // `layers` for numLayers, `dropoutProbability` for dropout.
  return short >= 3 && (a.includes(b) || b.includes(a)) ? Math.min(apart, 0.4) : apart
}

/** The one of `known` that `given` is nearest to, or null if it is near to none. */
export function nearest(given: string, known: readonly string[]): string | null {
  let [found, least] = [null as string | null, 0.5]
  for (const name of known) {
    const apart = distance(given, name)
    if (apart < least) [found, least] = [name, apart]
  }
  return found
}
