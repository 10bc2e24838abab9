// The Mersenne Twister MT19937 with PyTorch's seeding and PyTorch's bookkeeping. It only makes bits; distributions are in draws.ts.

/** Words of state. */
export const STATE_WORDS = 624
const SHIFT_WORDS = 397
const TWIST = 0x9908b0df
const UPPER = 0x80000000
const LOWER = 0x7fffffff

/** Everything that a generator of bits remembers: what `getState` copies out and `setState` takes. */
export interface MT19937State {
  /** The 64-bit seed as two unsigned 32-bit halves. */
  readonly seedHigh: number
  readonly seedLow: number
  /** Draws until the words are renewed, 1 to 624. */
  readonly left: number
  /** Index of the next word, 0 to 624. */
  readonly next: number
  /** 624 unsigned words. */
  readonly words: Uint32Array
}

/**
 * MT19937 of M. Matsumoto and T. Nishimura (ACM TOMACS 8, 1998; initialisation of 2002), as PyTorch's CPU generator
 * runs it: seeded with the low 32 bits of a 64-bit seed. The `left`/`next` counters are PyTorch's, so that states can
 * be exchanged with it byte for byte.
 *
 * @example
 * ```ts
 * const bits = new MT19937(0, 5489)
 * // The first word of the published reference output:
 * console.log(bits.random32()) // 3499211612
 * ```
 */
export class MT19937 {
  private readonly words = new Uint32Array(STATE_WORDS)
  private left = 1
  private next = 0
  private seedHigh = 0
  private seedLow = 0

  constructor(seedHigh = 0, seedLow = 0) {
    this.seed(seedHigh, seedLow)
  }

  /** Restarts from a 64-bit seed given as two halves. Only the low half reaches the state, as in PyTorch. */
  seed(seedHigh: number, seedLow: number): void {
    const words = this.words
    words[0] = seedLow
    for (let i = 1; i < STATE_WORDS; i++) {
      const previous = words[i - 1]
      words[i] = Math.imul(1812433253, previous ^ (previous >>> 30)) + i
    }
    this.left = 1
    this.next = 0
    this.seedHigh = seedHigh >>> 0
    this.seedLow = seedLow >>> 0
  }

  /** The next 32 bits as an unsigned number. */
  random32(): number {
    if (--this.left === 0) this.renew()
    let y = this.words[this.next++]
    y ^= y >>> 11
    y ^= (y << 7) & 0x9d2c5680
    y ^= (y << 15) & 0xefc60000
    return (y ^ (y >>> 18)) >>> 0
  }

  /** The next 64 bits as `[high, low]`, drawn high half first. Loops call `random32` twice instead of allocating. */
  random64(): [high: number, low: number] {
    const high = this.random32()
    return [high, this.random32()]
  }

  /** Uniform in [0, 1): the low 24 bits of one draw, times 2^-24. Exact in float32. */
  uniform24(): number {
    return (this.random32() & 0xffffff) * 2 ** -24
  }

  /** Uniform in [0, 1): the low 53 bits of a 64-bit draw, times 2^-53. */
  uniform53(): number {
    const high = this.random32() & 0x1fffff
    return (high * 2 ** 32 + this.random32()) * 2 ** -53
  }

  /** A copy of the whole state. */
  getState(): MT19937State {
    const { seedHigh, seedLow, left, next } = this
    return { seedHigh, seedLow, left, next, words: this.words.slice() }
  }

  /** Takes over a state; the caller has checked `left`, `next` and the number of words. */
  setState(state: MT19937State): void {
    this.words.set(state.words)
    this.left = state.left
    this.next = state.next
    this.seedHigh = state.seedHigh
    this.seedLow = state.seedLow
  }

  private renew(): void {
    const words = this.words
    const turn = STATE_WORDS - SHIFT_WORDS
    for (let i = 0; i < turn; i++) words[i] = words[i + SHIFT_WORDS] ^ twist(words[i], words[i + 1])
    for (let i = turn; i < STATE_WORDS - 1; i++) words[i] = words[i - turn] ^ twist(words[i], words[i + 1])
    words[STATE_WORDS - 1] = words[SHIFT_WORDS - 1] ^ twist(words[STATE_WORDS - 1], words[0])
    this.left = STATE_WORDS
    this.next = 0
  }
}

function twist(u: number, v: number): number {
  return (((u & UPPER) | (v & LOWER)) >>> 1) ^ (v & 1 ? TWIST : 0)
}
