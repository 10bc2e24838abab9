// Every example of the documentation compiles, runs and prints what it says; and the harness notices when one does not.
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { describe, expect, it } from "vitest"
import { agrees, collect, type Example, extract, freeNames, instrument } from "./examples.js"
import { Checker, runExamples } from "./examples-check.js"

const root = join(fileURLToPath(import.meta.url), "..", "..")
const examples = collect(root)
const checker = new Checker(
  root,
  examples.map(({ file }) => file),
)
const sample = (code: string, line = 2): Example => ({ file: "docs/x.md", line, code, noRun: false, addedTo: null })
const problemsOf = (code: string, limit = 20_000) => runExamples(checker, root, [sample(code)], limit)

describe("the examples of the documentation", () => {
  it("are found", () => {
    const files = new Set(examples.map((example) => example.file))
    expect(files).toContain("README.md")
    expect(files).toContain("packages/core/src/tensor.ts")
    expect(examples.length).toBeGreaterThan(70)
  })

  it("compile", () => expect(checker.check(examples)).toEqual([]))

  it("stand under comments that every public name has", () => expect(checker.undocumented()).toEqual([]))

  it("run, and print what they say", async () => expect(await runExamples(checker, root, examples, 45_000)).toEqual([]))
})

describe("the harness", () => {
  it("reads fences of Markdown and of comments with their lines", () => {
    const page = "# T\n\n```ts\na()\nb()\n```\n\n```sh\nls\n```\n```ts no-run\nc()\n```\n"
    expect(extract("docs/x.md", page)).toEqual([
      { file: "docs/x.md", line: 4, code: "a()\nb()", noRun: false, addedTo: null },
      { file: "docs/x.md", line: 12, code: "c()", noRun: true, addedTo: null },
    ])
    const source =
      "/**\n * Says.\n *\n * ```ts\n * if (a) {\n *   b()\n * }\n * ```\n */\nexport const x = `\n```ts\n`\n"
    expect(extract("packages/x/src/x.ts", source)).toEqual([
      { file: "packages/x/src/x.ts", line: 5, code: "if (a) {\n  b()\n}", noRun: false, addedTo: null },
    ])
    expect(() => extract("x.md", "```ts\n")).toThrow("not closed")
    expect(() => extract("x.md", "```ts skip\n```\n")).toThrow("unknown words")
  })

  it("finds the names that nobody declares", () => {
    const code = `
      import { zeros } from "rondo"
      class Net extends Module { layer = new Linear(1, 1); forward(x: Tensor) { return this.layer.forward(x).tanh() } }
      const { inputs, targets: [first] } = ramps(3, { dtype })
      for (const x of inputs) zeros(x, first)`
    expect(freeNames(code)).toEqual(["Linear", "Module", "Tensor", "dtype", "ramps"])
  })

  it("reads what comments promise", () => {
    const { prints, shapes } = instrument(
      "console.log(a) // [1, 2]\nconsole.log(b)\n// x\n//  y\nconsole.log(c)\n\n// no promise\n" +
        "const d = f() // [2, 3], int32\nconst [g, [h]] = f() // [2] and []\nconst k = f() // zeros\nlet l = f(), m = l // [1] each",
      10,
    )
    expect(prints).toEqual([
      { line: 10, text: "[1, 2]" },
      { line: 11, text: "x\n y" },
    ])
    const [one, none] = [{ shape: [1], dtype: null }, { shape: [], dtype: null }] // prettier-ignore
    expect(shapes).toEqual([
      { line: 17, shapes: [{ shape: [2, 3], dtype: "int32" }] },
      { line: 18, shapes: [{ shape: [2], dtype: null }, none] },
      { line: 20, shapes: [one, one] },
    ])
  })

  it("compares text but for blanks and quotes", () => {
    expect(agrees("[ [ 1, 2 ] ]", "[[1, 2]]")).toBe(true)
    expect(agrees("{ a: 'b' }", '{a: "b"}')).toBe(true)
    expect(agrees("0.6614, next", "0.66…, next")).toBe(true)
    expect(agrees("[1, 2]", "[1, 2")).toBe(false)
    expect(agrees("1.5", "1x5")).toBe(false)
    expect(agrees("12", "1")).toBe(false)
  })

  it("names the file and line of what does not compile", () => {
    const problems = checker.check([sample("const x = ones(2)\nx.tanj()", 7), sample("y.mul(2)", 30)])
    expect(problems.join("\n")).toContain("docs/x.md:8: Property 'tanj' does not exist")
    expect(problems.join("\n")).toContain("docs/x.md:30: Cannot find name 'y'")
    expect(problems).toHaveLength(2)
  })

  it("checks an addition to a file together with that file", () => {
    const added: Example = { ...sample(""), noRun: true, addedTo: "packages/core/src/ops/activation.ts" }
    const row = (name: string) => `export const twice: UnaryOp = unary({ name: "twice", doc: "", expr: (x) => ${name}(x), vjp: (g) => add(g, g) })` // prettier-ignore
    expect(checker.check([{ ...added, code: row("e.neg") }])).toEqual([])
    expect(checker.check([{ ...added, line: 40, code: `\n${row("nobody")}` }])).toEqual([
      "docs/x.md:41: Cannot find name 'nobody'.",
    ])
  })

  it("notices wrong output, missing output, wrong shapes and errors", async () => {
    expect(await problemsOf("console.log(await ones(2).tolist()) // [1, 1]\nconst y = ones(2) // [2]")).toEqual([])
    expect(await problemsOf("console.log(1 + 1)\n// 3")).toEqual(["docs/x.md:2: printed 2, the comment says 3"])
    expect(await problemsOf("if (ones(1).ndim > 1) console.log(1) // 1")).toEqual([
      "docs/x.md:2: printed nothing, the comment says 1",
    ])
    expect((await problemsOf("\nconst y = ones(2) // [3]")).join()).toContain('docs/x.md:3: declared [{"shape":[2]')
    expect((await problemsOf("ones(2).add(ones(3))")).join()).toMatch(/^docs\/x\.md:2: ShapeError: add/)
  })

  it("runs the others when one cannot be bundled", async () => {
    const examples = [sample(`import { x } from "./nothing.js"\nx()`), sample("console.log(1) // 2", 20)]
    const problems = await runExamples(checker, root, examples, 20_000)
    expect(problems).toHaveLength(2)
    expect(problems[0]).toContain("docs/x.md:2: ")
    expect(problems[1]).toBe("docs/x.md:20: printed 1, the comment says 2")
  })

  it("notices what never ends, waiting or busy", async () => {
    expect((await problemsOf("await new Promise(() => {})")).join()).toContain("ended the process with code 13")
    expect((await problemsOf("for (;;) {}", 1_500)).join()).toContain("not finished after 1.5 s")
  })
})
