// A strict JSON reader (RFC 8259) for headers of files. Beside JSON.parse it refuses duplicate keys, keeps "__proto__"
// as an ordinary key, tells integers from other numbers, bounds the nesting, and says where it stopped.

/** Thrown with the index of the character that could not be read. */
export class JsonError extends Error {
  readonly index: number
  constructor(fact: string, index: number) {
    super(fact)
    this.index = index
  }
}

/** A number that is not a plain unsigned integer up to 2^53 - 1, as it was written: `-1`, `1.0`, `1e3`, `1.5`. */
export class OtherNumber {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

/** Objects are maps; a `number` is always an unsigned integer that is exact. */
export type Json = null | boolean | number | OtherNumber | string | Json[] | Map<string, Json>

// Headers need 3. The bound keeps hostile nesting from overflowing the stack; serde_json's own is 128.
const maxDepth = 64
// Bounds of one list and one object, far above what headers need: a byte of text can cost a hundred of memory.
const maxItems = 1024
const maxKeys = 2 ** 20

const space = /[ \t\n\r]*/y
const number = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
// A run of characters that stand for themselves.
// eslint-disable-next-line no-control-regex
const plain = /[^"\\\u0000-\u001f]*/y
const escape = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y
const escapes: Record<string, string> = { b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" }
const words: [string, Json][] = [
  ["true", true],
  ["false", false],
  ["null", null],
]

/**
 * Reads a JSON object that fills the text, white space aside. Each entry is handed out as soon as it is read, and not kept:
 * a caller that throws at the first bad one never has a header of millions of them in memory.
 */
export function readEntries(text: string, each: (key: string, value: Json) => void): void {
  new Reader(text).document(each)
}

class Reader {
  private readonly text: string
  private at = 0

  constructor(text: string) {
    this.text = text
  }

  document(each: (key: string, value: Json) => void): void {
    this.skip()
    if (this.text[this.at] !== "{") throw this.unexpected('"{"')
    this.entries(0, each)
    this.skip()
    if (this.at < this.text.length) throw this.unexpected("the end of the header")
  }

  private value(depth: number): Json {
    if (depth > maxDepth) throw new JsonError(`nested more than ${maxDepth} deep`, this.at)
    const next = this.text[this.at]
    if (next === "{") return this.object(depth)
    if (next === "[") return this.array(depth)
    if (next === '"') return this.string()
    if (next === "-" || (next >= "0" && next <= "9")) return this.number()
    for (const [word, value] of words) {
      if (this.text.startsWith(word, this.at)) {
        this.at += word.length
        return value
      }
    }
    throw this.unexpected("a JSON value")
  }

  private object(depth: number): Map<string, Json> {
    const result = new Map<string, Json>()
    this.entries(depth, (key, value) => result.set(key, value))
    return result
  }

  private entries(depth: number, each: (key: string, value: Json) => void): void {
    const keys = new Set<string>()
    this.list("}", () => {
      const start = this.at
      if (this.text[this.at] !== '"') throw this.unexpected("a key in double quotes")
      const key = this.string()
      if (keys.has(key)) throw new JsonError(`duplicate key ${JSON.stringify(key.slice(0, 100))}`, start)
      if (keys.size === maxKeys) throw new JsonError(`an object of more than ${maxKeys} entries`, start)
      keys.add(key)
      this.skip()
      if (this.text[this.at] !== ":") throw this.unexpected('":"')
      this.at++
      this.skip()
      each(key, this.value(depth + 1))
    })
  }

  private array(depth: number): Json[] {
    const result: Json[] = []
    this.list("]", () => {
      if (result.length === maxItems) throw new JsonError(`a list of more than ${maxItems} items`, this.at)
      result.push(this.value(depth + 1))
    })
    return result
  }

  /** Reads items between commas up to `close`, from the opening bracket on. */
  private list(close: string, item: () => void): void {
    this.at++
    this.skip()
    if (this.text[this.at] === close) {
      this.at++
      return
    }
    for (;;) {
      item()
      this.skip()
      const next = this.text[this.at]
      if (next !== "," && next !== close) throw this.unexpected(`"," or "${close}"`)
      this.at++
      if (next === close) return
      this.skip()
    }
  }

  private string(): string {
    const start = this.at
    const pieces: string[] = []
    this.at++
    for (;;) {
      pieces.push(this.take(plain) ?? "")
      const next = this.text[this.at]
      if (next === '"') break
      if (next === undefined) throw new JsonError("a string does not end", start)
      if (next !== "\\") throw this.unexpected("no control characters in a string")
      const sequence = this.take(escape)
      if (sequence === undefined) throw new JsonError("unknown escape in a string", this.at)
      const kind = sequence[1]
      if (kind === "u") pieces.push(String.fromCharCode(parseInt(sequence.slice(2), 16)))
      else pieces.push(escapes[kind] ?? kind)
    }
    this.at++
    const result = pieces.join("")
    // Escapes can spell half a surrogate pair, which no UTF-8 text can hold.
    if (/\p{Surrogate}/u.test(result)) throw new JsonError("a string is not valid Unicode", start)
    return result
  }

  private number(): number | OtherNumber {
    const token = this.take(number)
    if (token === undefined) throw this.unexpected("a number")
    const value = /^[0-9]{1,16}$/.test(token) ? Number(token) : NaN
    return Number.isSafeInteger(value) ? value : new OtherNumber(token)
  }

  private skip(): void {
    this.take(space)
  }

  private take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at
    const match = pattern.exec(this.text)
    if (match === null) return undefined
    this.at += match[0].length
    return match[0]
  }

  private unexpected(expected: string): JsonError {
    const code = this.text.codePointAt(this.at)
    const got = code === undefined ? "the end" : JSON.stringify(String.fromCodePoint(code))
    return new JsonError(`got ${got}, expected ${expected}`, this.at)
  }
}
