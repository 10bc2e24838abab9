// Collects the examples of the documentation: every ```ts fence of the Markdown pages and of the TSDoc comments, with the
// lines that they promise to print. It checks and runs nothing; see examples-check.ts.
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import ts from "typescript"

/** One fence. `line` is the line of its first line of code, counted from 1. */
export interface Example {
  readonly file: string
  readonly line: number
  readonly code: string
  /** Only type-checked. */
  readonly noRun: boolean
  /** The source file of which the fence is a part to be added, instead of a program of its own. */
  readonly addedTo: string | null
}

/** Text that a `console.log` promises, and the line of the call. */
export interface Promised {
  readonly line: number
  readonly text: string
}

/** Sizes, and possibly dtypes, that a declaration promises for the tensors that it declares. */
export interface PromisedShapes {
  readonly line: number
  readonly shapes: readonly { readonly shape: readonly number[]; readonly dtype: string | null }[]
}

/** An example made ready to run: calls of `console.log` and checks of shapes go to the global `__example`. */
export interface Instrumented {
  readonly code: string
  readonly prints: readonly Promised[]
  readonly shapes: readonly PromisedShapes[]
}

export const nameOf = ({ file, line }: Pick<Example, "file" | "line">): string => `${file}:${line}`

/** The fences of one file: all of a Markdown file, those within comments of a TypeScript file. */
export function extract(file: string, text: string): Example[] {
  const comment = file.endsWith(".ts")
  const lines = text.split("\n")
  const read = (i: number) => (comment ? lines[i].replace(/^\s*\* ?/, "") : lines[i])
  const fence = (i: number) => (!comment || /^\s*\*/.test(lines[i]) ? /^```(.*)$/.exec(read(i)) : null)
  const found: Example[] = []
  for (let i = 0; i < lines.length; i++) {
    const opening = fence(i)
    if (!opening) continue
    let end = i + 1
    while (end < lines.length && !fence(end)) end++
    if (end === lines.length) throw new Error(`${file}:${i + 1}: the fence is not closed`)
    const [language, ...rest] = opening[1].trim().split(/\s+/)
    if (language === "ts") found.push(example(file, i + 2, Array.from({ length: end - i - 1 }, (_, k) => read(i + 1 + k)), rest)) // prettier-ignore
    i = end
  }
  return found
}

function example(file: string, line: number, code: readonly string[], flags: readonly string[]): Example {
  const addedTo = flags[0] === "in" && flags.length === 2 ? flags[1] : null
  const noRun = addedTo !== null || (flags[0] === "no-run" && flags.length === 1)
  if (flags.length > 0 && !noRun)
    throw new Error(
      `${file}:${line}: unknown words behind \`\`\`ts: got ${flags.join(" ")}, expected no-run or in FILE`,
    )
  return { file, line, code: code.join("\n"), noRun, addedTo }
}

const markdown = /^(README\.md|docs\/.*\.md|packages\/[^/]+\/README\.md)$/
const sources = /^packages\/[^/]+\/src\/.*(?<!\.test)\.ts$/

/** Every example of the repository at `root`, in the order of file names and lines. */
export function collect(root: string): Example[] {
  const files = ["README.md", ...under(root, "docs"), ...under(root, "packages")]
  return files
    .filter((file) => markdown.test(file) || sources.test(file))
    .sort()
    .flatMap((file) => extract(file, readFileSync(join(root, file), "utf8")))
}

function under(root: string, folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`
    if (entry.isDirectory()) return entry.name === "node_modules" || entry.name === "dist" ? [] : under(root, path)
    return [path]
  })
}

/** Identifiers that the code uses and does not declare, syntactically: what might have to be imported. */
export function freeNames(code: string): string[] {
  const used = new Set<string>()
  const declared = new Set<string>()
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node)) (isDeclaration(node) ? declared : isName(node) ? null : used)?.add(node.text)
    ts.forEachChild(node, visit)
  }
  visit(parse(code))
  return [...used].filter((name) => !declared.has(name)).sort()
}

const parse = (code: string) => ts.createSourceFile("example.ts", code, ts.ScriptTarget.ES2022, true)

function isDeclaration(node: ts.Identifier): boolean {
  const { parent } = node
  if (ts.isImportSpecifier(parent) || ts.isImportClause(parent) || ts.isNamespaceImport(parent)) return true
  const named = ts.isVariableDeclaration(parent) || ts.isBindingElement(parent) || ts.isParameter(parent)
  const statement =
    ts.isFunctionDeclaration(parent) || ts.isClassDeclaration(parent) || ts.isTypeParameterDeclaration(parent)
  const type = ts.isInterfaceDeclaration(parent) || ts.isTypeAliasDeclaration(parent)
  return (named || statement || type) && parent.name === node
}

/** True for names that refer to nothing outside: members, keys, labels. */
function isName(node: ts.Identifier): boolean {
  const { parent } = node
  if (ts.isPropertyAccessExpression(parent) || ts.isPropertyAssignment(parent)) return parent.name === node
  if (ts.isPropertyDeclaration(parent) || ts.isMethodDeclaration(parent)) return parent.name === node
  if (ts.isPropertySignature(parent) || ts.isGetAccessorDeclaration(parent)) return parent.name === node
  return ts.isBindingElement(parent) && parent.propertyName === node
}

/** Redirects `console.log`, and reads what the comments promise. `line` is that of the code's first line. */
export function instrument(code: string, line: number): Instrumented {
  const file = parse(code)
  const edits: { from: number; to: number; text: string }[] = []
  const prints: Promised[] = []
  const shapes: PromisedShapes[] = []
  const at = (position: number) => file.getLineAndCharacterOfPosition(position).line + line
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && node.expression.getText(file) === "console.log") {
      const here = at(node.getStart(file))
      edits.push({ from: node.expression.getStart(file), to: node.expression.end, text: `__example.print(${here})` })
      const text = ts.isExpressionStatement(node.parent) ? promisedText(code, node.parent.end) : null
      if (text !== null) prints.push({ line: here, text })
    }
    if (ts.isVariableStatement(node) && node.parent === file) {
      const promised = promisedShapes(trailing(code, node.end) ?? "")
      const names = node.declarationList.declarations.flatMap((d) => boundNames(d.name))
      if (promised) {
        const list = promised.each ? names.map(() => promised.shapes[0]) : promised.shapes
        shapes.push({ line: at(node.getStart(file)), shapes: list })
        edits.push({ from: node.end, to: node.end, text: `; __example.shapes(${at(node.getStart(file))}, [${names}])` })
      }
    }
    ts.forEachChild(node, visit)
  }
  visit(file)
  edits.sort((a, b) => b.from - a.from)
  return { code: edits.reduce((s, { from, to, text }) => s.slice(0, from) + text + s.slice(to), code), prints, shapes }
}

const boundNames = (name: ts.BindingName): string[] =>
  ts.isIdentifier(name)
    ? [name.text]
    : name.elements.flatMap((element) => (ts.isOmittedExpression(element) ? [] : boundNames(element.name)))

/** The comment behind `end` on the same line. */
function trailing(code: string, end: number): string | null {
  return /^;?[ \t]*\/\/ ?(.*)/.exec(code.slice(end))?.[1] ?? null
}

/** The comment behind a call, or else the lines of comment right below it. */
function promisedText(code: string, end: number): string | null {
  const behind = trailing(code, end)
  if (behind !== null) return behind
  const below = /^;?[ \t]*((?:\n[ \t]*\/\/.*)+)/.exec(code.slice(end))
  return below ? below[1].replaceAll(/\n[ \t]*\/\/ ?/g, "\n").trim() : null
}

const sizes = String.raw`\[[\d, ]*\](?:, (?:float\d\d|bfloat16|int\d\d|uint8|bool))?`
const sizesOnly = new RegExp(`^(?:${sizes})(?:(?:,| and|, and) ${sizes})*( each)?$`)

function promisedShapes(comment: string): { shapes: PromisedShapes["shapes"]; each: boolean } | null {
  const whole = sizesOnly.exec(comment)
  if (!whole) return null
  const shapes = [...comment.matchAll(/\[([\d, ]*)\](?:, ([a-z]+\d*))?/g)].map(([, list, dtype]) => ({
    shape: list.trim() === "" ? [] : list.split(",").map(Number),
    dtype: dtype && dtype !== "and" ? dtype : null,
  }))
  return { shapes, each: whole[1] !== undefined }
}

/** Printed text and promised text compare without the blanks and quotes in which Node's way of printing varies. */
export function agrees(printed: string, promised: string): boolean {
  const plain = (text: string) =>
    text
      .replaceAll(/\s+/g, " ")
      .replaceAll(/(?<=[[({]) | (?=[\])}])/g, "")
      .replaceAll("'", '"')
      .trim()
  const pattern = plain(promised)
    .split("…")
    .map((part) => part.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&"))
    .join(".*")
  return new RegExp(`^${pattern}$`, "s").test(plain(printed))
}
