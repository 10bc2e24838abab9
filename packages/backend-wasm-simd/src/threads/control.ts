// The table through which the threads of a pool see their work: where each word lies, and what its values mean. Words of 32 bits
// that several threads write have cache lines to themselves.

const line = 16

/** Most calls in the table at once. */
export const slots = 128
/** Most threads, the calling one included. */
export const mostThreads = 64
/** Room for what the calls are and their arguments, in doubles. */
export const recordDoubles = 16384
/** Room for the text of an error, in UTF-16 units. */
export const textUnits = 240

const states = (5 + mostThreads) * line
const texts = states + slots * line

/** Indices of 32-bit words. */
export const words = {
  /** Counts jobs; threads wait for it to change. */
  job: 0,
  /** Threads that wait. */
  waiting: line,
  /** Counts calls that ended; the calling thread waits for it to change. */
  progress: 2 * line,
  /** 1 while the calling thread sleeps. */
  joining: 3 * line,
  /** Calls in the table. */
  count: 4 * line,
  /** 1 once the pool is closed. */
  closed: 4 * line + 1,
  /** One for each thread, a line apart: whether it serves; the word behind it: how many calls it has ended. */
  threads: 5 * line,
  /** One for each call, a line apart: its state; the word behind it: where its record starts. */
  states,
  /** For each thread the text of its last error: its length, then its units. */
  texts,
  line,
  textWords: 1 + textUnits / 2,
} as const

/** What the word of a thread may be. */
export const thread = { starting: 0, serving: 1, withdrawn: 2, gone: 3 } as const

/** What the word of a call may be: one of these, or the number of a thread added to `claimed` or `failed`. */
export const call = { done: 0, ready: 1, lost: 2, claimed: 1024, failed: 2048 } as const

/** Where records start, in bytes. */
export const recordsAt = Math.ceil((texts + mostThreads * words.textWords) / 2) * 8

/** Bytes of the whole table. */
export const controlBytes = recordsAt + recordDoubles * 8
