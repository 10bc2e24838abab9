// The generator that users hold: a seed, the bits of MT19937 and the spare normal. It knows no distribution but that one.
import { ValueError } from "@rondo/backend"
import { fma } from "./fma.js"
import { MT19937, STATE_WORDS } from "./mt19937.js"
import { log, sinCos } from "./precise.js"

/** The seed of a generator that nobody seeded (`c10::detail::default_rng_seed_val`). */
const DEFAULT_SEED = 67280421310721n
const MIN_SEED = -(2n ** 63n)
const MAX_SEED = 2n ** 64n - 1n

// torch.get_rng_state(): a C struct in little-endian order, its 624 words widened to 64 bits.
const STATE_BYTES = 5056
const AT = { seed: 0, left: 8, seeded: 12, next: 16, words: 24, spare: 5024, hasSpare: 5040 }

const circle = new Float64Array(2)

/**
 * An independent stream of random numbers, the same as `torch.Generator()` on the CPU draw for draw.
 *
 * @example
 * ```ts
 * const generator = new Generator().manualSeed(0)
 * // As torch.rand(2) after torch.manual_seed(0):
 * console.log(await rand(2, { generator }).tolist()) // [0.49625658988952637, 0.7682217955589294]
 * ```
 */
export class Generator {
  /** The source of bits, for code that draws. Drawing from it directly leaves the spare normal alone, as PyTorch does. */
  readonly bits = new MT19937()
  /** The second value of the last pair of `normal()`, when it has not been handed out yet. */
  private spare: number | undefined

  /** Starts from PyTorch's fixed default seed, 67280421310721, unless a seed is given. */
  constructor(seed: number | bigint = DEFAULT_SEED) {
    this.manualSeed(seed)
  }

  /**
   * Restarts the stream. Seeds run from -2^63 to 2^64 - 1; a negative seed counts from 2^64 down, and streams depend on
   * the low 32 bits alone (all this as PyTorch has it).
   *
   * @throws ValueError for a seed that is not a whole number, or lies outside that range.
   */
  manualSeed(seed: number | bigint): this {
    if (typeof seed !== "bigint" && !(typeof seed === "number" && Number.isInteger(seed))) {
      throw new ValueError(`manualSeed: seed is no whole number: got ${String(seed)}`)
    }
    const wide = BigInt(seed)
    if (wide < MIN_SEED || wide > MAX_SEED) {
      throw new ValueError(`manualSeed: seed is out of range: got ${wide}, expected -2^63 to 2^64 - 1`)
    }
    this.bits.seed(Number((wide >> 32n) & 0xffffffffn), Number(wide & 0xffffffffn))
    this.spare = undefined
    return this
  }

  /** The seed of the last `manualSeed` or `seed` (or of a loaded state), as an unsigned 64-bit number. */
  initialSeed(): bigint {
    const { seedHigh, seedLow } = this.bits.getState()
    return (BigInt(seedHigh) << 32n) | BigInt(seedLow)
  }

  /** Seeds with 64 unpredictable bits of the platform's `crypto` and returns them. */
  seed(): bigint {
    const [seed] = crypto.getRandomValues(new BigUint64Array(1))
    this.manualSeed(seed)
    return seed
  }

  /**
   * One normal number in double precision (Box and Muller), and the only draw that uses the spare: every second call
   * takes no bits. The spare outlives every other draw; only seeding and `setState` drop it.
   */
  normal(mean = 0, std = 1): number {
    let z = this.spare
    this.spare = undefined
    if (z === undefined) {
      const u1 = this.bits.uniform53()
      const u2 = this.bits.uniform53()
      const radius = Math.sqrt(-2 * log(1 - u2))
      sinCos(2 * Math.PI * u1, circle)
      this.spare = radius * circle[0]
      z = radius * circle[1]
    }
    return fma(z, std, mean)
  }

  /** The state in the 5,056 bytes of `torch.get_rng_state()`; PyTorch's `set_rng_state` takes them. */
  getState(): Uint8Array {
    const bytes = new Uint8Array(STATE_BYTES)
    const view = new DataView(bytes.buffer)
    const state = this.bits.getState()
    view.setUint32(AT.seed, state.seedLow, true)
    view.setUint32(AT.seed + 4, state.seedHigh, true)
    view.setInt32(AT.left, state.left, true)
    view.setInt32(AT.seeded, 1, true)
    view.setUint32(AT.next, state.next, true)
    for (let i = 0; i < STATE_WORDS; i++) view.setUint32(AT.words + 8 * i, state.words[i], true)
    if (this.spare !== undefined) {
      view.setFloat64(AT.spare, this.spare, true)
      view.setInt32(AT.hasSpare, 1, true)
    }
    return bytes
  }

  /**
   * Continues from a state of `getState` or of `torch.get_rng_state()`. The generator is unchanged when it throws.
   *
   * @throws ValueError when the bytes are no such state.
   */
  setState(state: Uint8Array): this {
    if (!(state instanceof Uint8Array)) {
      throw new ValueError(`setState: state is no Uint8Array: got ${Object.prototype.toString.call(state)}`)
    }
    if (state.length !== STATE_BYTES) {
      throw new ValueError(`setState: wrong size of state: got ${state.length} bytes, expected ${STATE_BYTES}`)
    }
    const view = new DataView(state.buffer, state.byteOffset, state.byteLength)
    const left = view.getInt32(AT.left, true)
    const seeded = view.getInt32(AT.seeded, true)
    const next = view.getUint32(AT.next, true)
    // left = 1 renews the words before the next draw; otherwise the two counters must not run past the end.
    if (seeded === 0 || left < 1 || left > STATE_WORDS || next > STATE_WORDS || (left > 1 && left + next > 625)) {
      throw new ValueError(`setState: invalid mt19937 state: got left ${left}, next ${next}, seeded ${seeded}`)
    }
    const words = new Uint32Array(STATE_WORDS)
    for (let i = 0; i < STATE_WORDS; i++) words[i] = view.getUint32(AT.words + 8 * i, true)
    const seedLow = view.getUint32(AT.seed, true)
    const seedHigh = view.getUint32(AT.seed + 4, true)
    this.bits.setState({ seedHigh, seedLow, left, next, words })
    this.spare = view.getInt32(AT.hasSpare, true) !== 0 ? view.getFloat64(AT.spare, true) : undefined
    return this
  }

  /** A generator of its own that continues from the same point. */
  clone(): Generator {
    return new Generator().setState(this.getState())
  }
}

let shared: Generator | undefined

/** The generator of calls that name none. Seeded unpredictably on first use, as PyTorch's is. */
export function defaultGenerator(): Generator {
  if (shared === undefined) {
    shared = new Generator()
    shared.seed()
  }
  return shared
}
