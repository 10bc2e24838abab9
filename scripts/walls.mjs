// The walls of the house as lint rules: which package may import which, what stays inside core's op tables, and how
// long a file may be. Every message says why. The table is the design; packages' manifests are checked elsewhere.
import { existsSync, readFileSync } from "node:fs"
import { builtinModules } from "node:module"
import { dirname, join, relative, resolve, sep } from "node:path"
import { fileURLToPath } from "node:url"

const root = join(dirname(fileURLToPath(import.meta.url)), "..")
const lineLimit = 500

const backends = /^@rondo\/backend-/
const anyBackend = (name) => backends.test(name)

// folder of packages/ -> what its sources may import from the house, and why no more.
const arrows = {
  backend: { may: [], why: "the contract stands at the bottom and imports nothing" },
  core: { may: ["@rondo/backend"], why: "core sees the contract only; a backend is a value that the user passes in" },
  nn: { may: ["@rondo/core", "@rondo/backend"], why: "nn stands on core; it never sees a backend, optim or data" },
  optim: { may: ["@rondo/core", "@rondo/backend"], why: "optim stands on core; parameters are tensors, not modules" },
  datasets: { may: ["@rondo/core", "@rondo/backend"], why: "datasets makes tensors; models and devices are the app's" },
  conformance: {
    may: ["@rondo/backend", "@rondo/core", "@rondo/nn", "@rondo/optim"],
    why: "the suite is handed the backend that it judges, so that a fifth backend can use it",
  },
  "kernel-tests": {
    may: ["@rondo/backend"],
    why: "the cases are handed the device and the reference, as the suite is",
  },
  onnx: { may: ["@rondo/nn", "@rondo/core", "@rondo/backend"], why: "onnx reads modules; it trains and runs nothing" },
  rondo: {
    may: ["@rondo/backend", "@rondo/core", "@rondo/nn", "@rondo/optim", anyBackend],
    why: "the front door re-exports the library; data sets and the suite are separate installs",
  },
}
const backendArrows = {
  may: ["@rondo/backend"],
  why: "a backend moves bytes and runs kernels; it knows the contract and nothing above or beside it",
}
const appArrows = { may: [/^(rondo|@rondo\/(?!kernel-tests$).+)$/], why: "apps may use every published package" }

// Tests may also use these: the reference is how a pure unit is run.
const testArrows = {
  core: ["@rondo/backend-cpu-js"],
  nn: ["@rondo/backend-cpu-js"],
  datasets: ["@rondo/backend-cpu-js"],
}
testArrows.optim = ["@rondo/backend-cpu-js", "@rondo/nn"]
testArrows["backend-wasm-simd"] = ["@rondo/backend-cpu-js", "@rondo/kernel-tests"]
testArrows["backend-webgpu"] = ["@rondo/backend-cpu-js", "@rondo/kernel-tests"]
testArrows["kernel-tests"] = ["@rondo/backend-cpu-js"]
testArrows.conformance = ["@rondo/backend-cpu-js", "@rondo/backend-wasm-simd", "@rondo/backend-webgpu"]
testArrows.onnx = ["@rondo/backend-cpu-js"]

const backendNames = ["cpu-js", "wasm-simd", "webgpu", "cuda", "cuda-addon"]

const matches = (name, list) =>
  list.some((entry) =>
    typeof entry === "function" ? entry(name) : entry instanceof RegExp ? entry.test(name) : entry === name,
  )

/** Where a file lives: `{ kind: "packages" | "apps", folder, home, path, test }`, or null outside both. */
function placeOf(filename) {
  const parts = relative(root, filename).split(sep)
  if ((parts[0] !== "packages" && parts[0] !== "apps") || parts.length < 3) return null
  const path = parts.slice(2).join("/")
  const test = /\.test\.ts$/.test(path) || /^(test|tests)\//.test(path)
  return { kind: parts[0], folder: parts[1], home: join(root, parts[0], parts[1]), path, test }
}

function arrowsOf(place) {
  if (place.kind === "apps") return appArrows
  if (place.folder.startsWith("backend-")) return backendArrows
  return (
    arrows[place.folder] ?? { may: [], why: "this package is not in the table of scripts/walls.mjs yet: add its row" }
  )
}

const manifests = new Map()
function declared(home, test) {
  if (!manifests.has(home)) {
    const file = join(home, "package.json")
    manifests.set(home, existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : {})
  }
  const m = manifests.get(home)
  return { ...m.dependencies, ...m.peerDependencies, ...m.optionalDependencies, ...(test ? m.devDependencies : {}) }
}

const isBuiltin = (source) => source.startsWith("node:") || builtinModules.includes(source)
const packageOf = (source) =>
  source
    .split("/")
    .slice(0, source.startsWith("@") ? 2 : 1)
    .join("/")

/** Why `source` may not be imported at `place`, or null. */
function forbidden(source, place, filename) {
  if (source.startsWith(".")) {
    const target = relative(place.home, resolve(dirname(filename), source))
    if (!target.startsWith("..")) return null
    return `'${source}' leaves the package: import another package by its name, so that what is tested is what is published`
  }
  const nodeOnly = /^src\/(node|.*\/node)(\.ts$|\/)/.test(place.path)
  if (isBuiltin(source)) {
    if (place.kind === "apps" || place.test || nodeOnly) return null
    return `'${source}' exists in Node only and this package ships to browsers: Node-only code lives in src/node.ts or src/node/`
  }
  const name = packageOf(source)
  if (name !== "rondo" && !name.startsWith("@rondo/")) {
    if (name in declared(place.home, place.test) || (place.test && ["vitest", "fast-check"].includes(name))) return null
    return `'${name}' is not in this package's package.json: a consumer who installs the package would not have it`
  }
  if (/^(src|dist)(\/|$)/.test(source.slice(name.length + 1))) {
    return `'${source}' reaches into another package's ${source.slice(name.length + 1).split("/")[0]}: only its exports are public`
  }
  const { may, why } = arrowsOf(place)
  const extra = place.test && place.kind === "packages" ? (testArrows[place.folder] ?? []) : []
  if (matches(name, [...may, ...extra])) return null
  return `${place.kind}/${place.folder} may not import '${name}': ${why}`
}

/** Import directions: apps -> nn, optim, datasets, conformance -> core -> backend <- backend-*. */
const imports = {
  meta: { type: "problem", schema: [], messages: { wall: "{{ why }}." } },
  create(context) {
    const place = placeOf(context.filename)
    if (!place) return {}
    const check = (node) => {
      if (!node || typeof node.value !== "string") return
      const why = forbidden(node.value, place, context.filename)
      if (why) context.report({ node, messageId: "wall", data: { why } })
    }
    return {
      ImportDeclaration: (node) => check(node.source),
      ExportNamedDeclaration: (node) => check(node.source),
      ExportAllDeclaration: (node) => check(node.source),
      ImportExpression: (node) => check(node.source),
      TSImportType: (node) => check(node.source ?? node.argument?.literal),
    }
  },
}

/** Op definitions live in core's src/ops only, and core names no backend. */
const core = {
  meta: {
    type: "problem",
    schema: [],
    messages: {
      op: "a `vjp` is written here: op definitions live in packages/core/src/ops only, so that one row is the whole op.",
      name: "'{{ name }}' names a backend: core must work with a backend that does not exist yet; ask its capabilities.",
    },
  },
  create(context) {
    const place = placeOf(context.filename)
    if (place?.kind !== "packages" || place.test || !["core", "nn", "optim", "datasets"].includes(place.folder))
      return {}
    const inOps = place.folder === "core" && place.path.startsWith("src/ops/")
    return {
      "ObjectExpression > Property[key.name='vjp']"(node) {
        // Handing a row's rule on is fine; writing one (a function, or null for "not differentiable") is a definition.
        const written = /Function|ArrayExpression/.test(node.value.type) || node.value.value === null
        if (written && !inOps) context.report({ node, messageId: "op" })
      },
      Literal(node) {
        if (place.folder !== "core" || !backendNames.includes(node.value)) return
        context.report({ node, messageId: "name", data: { name: node.value } })
      },
    }
  },
}

/** No file over the limit, tests included. */
const fileLength = {
  meta: {
    type: "suggestion",
    schema: [],
    messages: {
      long: "{{ lines }} lines, at most {{ lineLimit }}: a file must be read in five minutes; split it by subject.",
    },
  },
  create(context) {
    return {
      "Program:exit"(node) {
        const text = context.sourceCode.lines
        const lines = text.at(-1) === "" ? text.length - 1 : text.length
        if (lines > lineLimit) context.report({ node, messageId: "long", data: { lines, lineLimit } })
      },
    }
  },
}

export default { meta: { name: "rondo" }, rules: { imports, core, "file-length": fileLength } }
