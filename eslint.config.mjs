// What the linter holds: the walls (scripts/walls.mjs), import cycles, and the habits of CONTRIBUTING.md. Formatting
// is Prettier's and types are tsc's, so neither is repeated here.
import js from "@eslint/js"
import { createNodeResolver, importX } from "eslint-plugin-import-x"
import globals from "globals"
import tseslint from "typescript-eslint"
import walls from "./scripts/walls.mjs"

const noDefaultExport = {
  selector: "ExportDefaultDeclaration",
  message: "No default exports: a name that is the same everywhere can be searched for.",
}
const noDefaultAlias = { ...noDefaultExport, selector: "ExportSpecifier[exported.name='default']" }

const shipped = [
  {
    selector: "MemberExpression[object.name='console']",
    message: "No console in packages: a library returns or throws; the app decides what is printed.",
  },
  {
    selector: "CallExpression[callee.name='eval']",
    message: "No eval: pages with a strict content security policy must work.",
  },
  {
    selector: ":matches(NewExpression, CallExpression)[callee.name='Function']",
    message: "No Function constructor: pages with a strict content security policy must work.",
  },
  {
    selector: "MemberExpression[object.name='globalThis'][property.name=/^(eval|Function)$/]",
    message: "No eval or Function constructor: pages with a strict content security policy must work.",
  },
  noDefaultExport,
  noDefaultAlias,
]

const tests = [
  {
    selector: "MemberExpression[object.name=/^(describe|it|test|suite)$/][property.name='only']",
    message: "No .only: it would silence every other test of the file.",
  },
  {
    selector: "MemberExpression[object.name=/^(describe|it|test|suite)$/][property.name=/^(skip|todo)$/]",
    message: "No .skip or .todo: what cannot run here is decided at run time (skipIf) and listed by npm test.",
  },
  {
    selector: "CallExpression[callee.name=/^(xit|xtest|xdescribe|fit|fdescribe)$/]",
    message: "No skipped or focused tests.",
  },
]

export default tseslint.config(
  {
    ignores: [
      "**/node_modules/",
      "**/dist/",
      "**/goldens/**",
      "**/generated/**",
      "**/*.generated.*",
      "scripts/fixtures/",
      "reports/",
      "coverage/",
      ".turbo/",
    ],
  },
  { linterOptions: { reportUnusedDisableDirectives: "error" } },
  js.configs.recommended,
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.recommended],
    rules: {
      "@typescript-eslint/no-unused-vars": [
        "error",
        { argsIgnorePattern: "^_", varsIgnorePattern: "^_", caughtErrorsIgnorePattern: "^_" },
      ],
      // `interface Tensor extends Methods<...> {}` beside the class is how methods are typed from the op tables.
      "@typescript-eslint/no-unsafe-declaration-merging": "off",
      "@typescript-eslint/no-empty-object-type": ["error", { allowInterfaces: "with-single-extends" }],
      "no-undef": "off",
      // Constants are copied digit for digit from their published source.
      "no-loss-of-precision": "off",
    },
  },
  {
    files: ["**/*.{ts,mjs,js}"],
    plugins: { rondo: walls, "import-x": importX },
    languageOptions: { globals: globals.node },
    settings: {
      "import-x/resolver-next": [
        createNodeResolver({ extensions: [".ts", ".js"], extensionAlias: { ".js": [".ts", ".js"] } }),
      ],
      "import-x/extensions": [".ts", ".js"],
    },
    rules: {
      "rondo/imports": "error",
      "rondo/core": "error",
      "rondo/file-length": "error",
      // Cycles of values break when load order changes; cycles of types (erased) are fine.
      "import-x/no-cycle": ["error", { ignoreExternal: true }],
      eqeqeq: ["error", "always"],
      "no-var": "error",
      "prefer-const": "error",
      "object-shorthand": "error",
    },
  },
  { files: ["packages/**/*.ts"], rules: { "no-restricted-syntax": ["error", ...shipped] } },
  { files: ["apps/**/*.ts"], rules: { "no-restricted-syntax": ["error", noDefaultExport, noDefaultAlias] } },
  {
    files: ["packages/**/*.test.ts", "packages/kernel-tests/**/*.ts"],
    rules: { "no-restricted-syntax": ["error", ...shipped, ...tests] },
  },
  {
    files: ["apps/**/*.test.ts", "scripts/**/*.test.ts"],
    rules: { "no-restricted-syntax": ["error", noDefaultExport, noDefaultAlias, ...tests] },
  },
)
