// Type-checks all examples in one program and runs them in one process, with the names of our packages imported for
// them. What an example is stands in examples.ts.
import { build, type BuildFailure, type Plugin } from "esbuild"
import { spawn } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, dirname, join, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import ts from "typescript"
import { agrees, type Example, freeNames, type Instrumented, instrument, nameOf } from "./examples.js"

/** What one example did. */
export interface Outcome {
  readonly name: string
  readonly error: string | null
  /** By line. */
  readonly prints: Readonly<Record<number, readonly string[]>>
  /** By line: sizes and dtypes of declared values, null for what is no tensor. */
  readonly shapes: Readonly<Record<number, readonly (Sized | null)[]>>
}
type Sized = { readonly shape: readonly number[]; readonly dtype: string | null }

/** An example as a module: `head` is its first line, so that its other lines keep their numbers. */
interface Prepared {
  readonly example: Example
  readonly path: string
  readonly head: string
}

/** Examples use the names of these without importing them; a name that several have is taken from the first. */
const implied = ["rondo", "@rondo/datasets", "@rondo/conformance", "@rondo/backend", "@rondo/backend-cpu-js"]

/** Import name -> source file, for every entry of every package that is published. */
export function entries(root: string): Map<string, string> {
  const found = new Map<string, string>()
  for (const folder of readdirSync(join(root, "packages"))) {
    const home = join(root, "packages", folder)
    const manifest = JSON.parse(readFileSync(join(home, "package.json"), "utf8")) as Record<string, never>
    if (manifest.private) continue
    for (const [subpath, source] of Object.entries<string>(manifest.exports))
      if (source.endsWith(".ts")) found.set(join(manifest.name, subpath), resolve(home, source))
  }
  return found
}

/** One compiler for all questions about types; files are parsed once. */
export class Checker {
  private readonly root: string
  private readonly options: ts.CompilerOptions
  private readonly host: ts.CompilerHost
  private readonly virtual = new Map<string, string>()
  private readonly sources: Map<string, string>
  private program: ts.Program

  /** `files` are sources that hold examples and that no package may export yet. */
  constructor(root: string, files: readonly string[] = []) {
    this.root = root
    this.sources = entries(root)
    const { config } = ts.readConfigFile(join(root, "tsconfig.base.json"), ts.sys.readFile)
    const parsed = ts.convertCompilerOptionsFromJson(config.compilerOptions, root)
    this.options = {
      ...parsed.options,
      noEmit: true,
      noUnusedLocals: false, // an example may declare `const y` and stop there
      noUnusedParameters: false,
      verbatimModuleSyntax: false, // the imports added for an example do not tell types from values
      paths: Object.fromEntries([...this.sources].map(([name, file]) => [name, [file]])),
      types: ["node", "@webgpu/types"],
      typeRoots: [join(root, "node_modules", "@types")],
    }
    this.host = this.makeHost()
    const own = files.filter((file) => file.endsWith(".ts")).map((file) => join(root, file))
    this.program = ts.createProgram([...new Set([...this.sources.values(), ...own])], this.options, this.host)
  }

  private makeHost(): ts.CompilerHost {
    const host = ts.createCompilerHost(this.options)
    const parsed = new Map<string, ts.SourceFile | undefined>()
    const { getSourceFile, fileExists, readFile } = host
    host.getCurrentDirectory = () => this.root
    host.fileExists = (file) => this.virtual.has(file) || fileExists(file)
    host.readFile = (file) => this.virtual.get(file) ?? readFile(file)
    host.getSourceFile = (file, ...rest) => {
      const text = this.virtual.get(file)
      if (text !== undefined) return ts.createSourceFile(file, text, ts.ScriptTarget.ES2022, true)
      if (!parsed.has(file)) parsed.set(file, getSourceFile(file, ...rest))
      return parsed.get(file)
    }
    return host
  }

  /** Names that a source file exports, types included. */
  exportsOf(file: string): Map<string, ts.Symbol> {
    const checker = this.program.getTypeChecker()
    const source = this.program.getSourceFile(file)
    const module = source && checker.getSymbolAtLocation(source)
    return new Map((module ? checker.getExportsOfModule(module) : []).map((symbol) => [symbol.name, symbol]))
  }

  /** The declaration behind a symbol, through re-exports. */
  declarationOf(symbol: ts.Symbol): ts.Declaration | undefined {
    const checker = this.program.getTypeChecker()
    const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol
    return target.valueDeclaration ?? target.declarations?.[0]
  }

  /** Public names without a comment. Rows of the op tables are documented by their `doc`, modules by their first line. */
  undocumented(): string[] {
    const checker = this.program.getTypeChecker()
    return [...this.sources].flatMap(([entry, file]) =>
      [...this.exportsOf(file)].flatMap(([name, symbol]) => {
        const declaration = this.declarationOf(symbol)
        if (!declaration || ts.isSourceFile(declaration)) return []
        const isRow = checker.getTypeAtLocation(declaration).getProperty("op") !== undefined
        return isRow || ts.getJSDocCommentsAndTags(declaration).length > 0 ? [] : [`${name} of ${entry}`]
      }),
    )
  }

  /** Adds the imports that the example lacks: names of its own file first, then those of the packages. */
  prepare(example: Example): Prepared {
    const place = join(this.root, example.addedTo ?? example.file)
    const path = join(dirname(place), `${basename(place)}.example-${example.line}.ts`)
    if (example.addedTo !== null) return { example, path, head: "" }
    const tables: [string, Set<string>][] = implied.map((name) => [
      name,
      new Set(this.exportsOf(this.sources.get(name) as string).keys()),
    ])
    if (example.file.endsWith(".ts"))
      tables.unshift([`./${basename(place, ".ts")}.js`, new Set(this.exportsOf(place).keys())])
    const imports = freeNames(example.code).flatMap((name) => {
      const found = tables.find(([, names]) => names.has(name))
      return found ? [`import { ${name} } from "${found[0]}"; `] : []
    })
    // The front door first, as in a program: it loads the modules in their order and gives tensors their methods.
    return { example, path, head: `import "rondo"; ${imports.join("")}export {}` }
  }

  /** Every type error of the examples, as `file:line: message`. */
  check(examples: readonly Example[]): string[] {
    const prepared = examples.map((example) => this.prepare(example))
    const shifts = new Map<string, { file: string; shift: number }>()
    for (const { example, path, head } of prepared) {
      const before = example.addedTo === null ? head : readFileSync(join(this.root, example.addedTo), "utf8")
      const padding = "\n".repeat(Math.max(1, example.line - before.split("\n").length))
      const start = (before + padding).split("\n").length
      this.virtual.set(path, before + padding + example.code)
      shifts.set(path, { file: example.file, shift: example.line - start })
    }
    const names = [...this.sources.values(), ...shifts.keys()]
    this.program = ts.createProgram(names, this.options, this.host, this.program)
    return [...shifts].flatMap(([path, { file, shift }]) => {
      const source = this.program.getSourceFile(path) as ts.SourceFile
      const found = [...this.program.getSyntacticDiagnostics(source), ...this.program.getSemanticDiagnostics(source)]
      return found.map(({ start, messageText }) => {
        const line = source.getLineAndCharacterOfPosition(start ?? 0).line + 1 + shift
        return `${file}:${line}: ${ts.flattenDiagnosticMessageText(messageText, "\n  ")}`
      })
    })
  }
}

/** Runs the examples that may run; every failure as `file:line: what`. `limit` is in ms, for all together. */
export async function runExamples(checker: Checker, root: string, all: readonly Example[], limit: number) {
  const examples = all.filter((example) => !example.noRun)
  const ready = new Map<string, Instrumented>(examples.map((x) => [nameOf(x), instrument(x.code, x.line)]))
  const folder = mkdtempSync(join(tmpdir(), "rondo-examples-"))
  try {
    const texts = new Map<string, { text: string; folder: string }>()
    examples.forEach((example, i) => {
      const { path, head } = checker.prepare(example)
      const text = `${head}\n${(ready.get(nameOf(example)) as Instrumented).code}`
      texts.set(`example-${i}`, { text, folder: dirname(path) })
    })
    const refused = await bundle(root, folder, texts).then(() => [], refusals)
    for (const { entry } of refused) texts.delete(entry)
    if (refused.length > 0) await bundle(root, folder, texts)
    const list = [...texts.keys()].map((entry) => ({
      name: nameOf(examples[numberOf(entry)]),
      url: pathToFileURL(join(folder, `${entry}.js`)).href,
    }))
    const { outcomes, trouble } = await start(join(folder, "examples-runner.js"), list, limit)
    const unbundled = refused.map(({ entry, text }) => `${nameOf(examples[numberOf(entry)])}: ${text}`)
    const judged = outcomes.flatMap((outcome) => judge(outcome, ready.get(outcome.name) as Instrumented))
    return [...unbundled, ...judged, ...trouble]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const numberOf = (entry: string) => Number(entry.replace("example-", ""))

/** What esbuild refuses, by the example; anything else is thrown. */
function refusals(error: unknown): { entry: string; text: string }[] {
  return ((error as BuildFailure).errors ?? []).map(({ text, location }) => {
    const entry = /^example:(example-\d+)$/.exec(location?.file ?? "")?.[1]
    if (!entry) throw error
    return { entry, text }
  })
}

async function bundle(root: string, folder: string, texts: Map<string, { text: string; folder: string }>) {
  const sources = entries(root)
  const virtual: Plugin = {
    name: "examples",
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^example-\d+$/ }, ({ path }) => ({ path, namespace: "example" }))
      onResolve({ filter: /^(rondo|@rondo\/.+)$/ }, ({ path }) => ({ path: sources.get(path) }))
      onResolve({ filter: /^\./, namespace: "example" }, ({ path, resolveDir }) => {
        const file = resolve(resolveDir, path)
        return { path: existsSync(file) ? file : file.replace(/\.js$/, ".ts") }
      })
      onLoad({ filter: /.*/, namespace: "example" }, ({ path }) => {
        const { text, folder: resolveDir } = texts.get(path) as { text: string; folder: string }
        return { contents: text, loader: "ts", resolveDir }
      })
    },
  }
  await build({
    entryPoints: [join(root, "scripts", "examples-runner.mjs"), ...texts.keys()].map((path) => ({
      in: path,
      out: basename(path, ".mjs"),
    })),
    outdir: folder,
    bundle: true,
    splitting: true, // one copy of the library for all
    format: "esm",
    platform: "node",
    target: "node20",
    ignoreAnnotations: true, // `import "rondo"` is there for its order
    tsconfigRaw: {},
    plugins: [virtual],
    logLevel: "silent",
  })
}

function start(program: string, list: readonly { name: string; url: string }[], limit: number) {
  return new Promise<{ outcomes: Outcome[]; trouble: string[] }>((done) => {
    const child = spawn(process.execPath, [program, JSON.stringify(list)], { timeout: limit, killSignal: "SIGKILL" })
    let [out, err] = ["", ""]
    child.stdout.on("data", (chunk) => (out += chunk))
    child.stderr.on("data", (chunk) => (err += chunk))
    child.on("close", (code, signal) => {
      const outcomes = out.split("\n").filter(Boolean).map((line) => JSON.parse(line) as Outcome) // prettier-ignore
      const last = list[outcomes.length]
      const why = signal ? `not finished after ${limit / 1000} s for all` : `ended the process with code ${code}`
      done({ outcomes, trouble: last ? [`${last.name}: ${why}; the examples behind it did not run: ${err}`] : [] })
    })
  })
}

/** What of an outcome is not as promised. */
export function judge(outcome: Outcome, { prints, shapes }: Instrumented): string[] {
  const { name, error } = outcome
  if (error !== null) return [`${name}: ${error}`]
  const file = name.slice(0, name.lastIndexOf(":"))
  const printed = prints.flatMap(({ line, text }) => {
    const got = (outcome.prints[line] ?? []).join("\n")
    return agrees(got, text) ? [] : [`${file}:${line}: printed ${got || "nothing"}, the comment says ${text}`]
  })
  const sized = shapes.flatMap(({ line, shapes: wanted }) => {
    const got = outcome.shapes[line] ?? []
    const fits = got.length === wanted.length && got.every((x, i) => sameShape(x, wanted[i]))
    const text = (list: readonly unknown[]) => JSON.stringify(list)
    return fits ? [] : [`${file}:${line}: declared ${text(got)}, the comment says ${text(wanted)}`]
  })
  return [...printed, ...sized]
}

const sameShape = (got: Sized | null, wanted: Sized): boolean =>
  got !== null &&
  JSON.stringify(got.shape) === JSON.stringify(wanted.shape) &&
  (wanted.dtype === null || wanted.dtype === got.dtype)
