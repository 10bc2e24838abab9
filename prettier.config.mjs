// The formatting of every file. Nothing to discuss: `pnpm format` applies it, `npm test` checks it.
export default {
  semi: false,
  singleQuote: false,
  printWidth: 120,
  trailingComma: "all",
  proseWrap: "preserve",
  // Lines of prose and tables in Markdown stay as written; only code fences in TypeScript sources matter to us.
  embeddedLanguageFormatting: "auto",
}
