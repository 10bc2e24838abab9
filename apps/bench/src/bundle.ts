// Bundles Rondo's sources and the peers' programs into plain JavaScript, once before anything is timed. Running TypeScript
// through a loader instead would be unfair to Rondo: tsx keeps function names by a call around every closure.
import { build } from "esbuild"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const here = fileURLToPath(new URL(".", import.meta.url))

/** Programs by name, as files in `folder`: `ours.mjs`, `tfjs.mjs`, …, and `limit.cjs`. */
export async function bundle(folder: string): Promise<(program: string) => string> {
  const common = { bundle: true, platform: "node", target: "node20", outdir: folder, logLevel: "warning" } as const
  // The assembler of WebAssembly text in it is CommonJS.
  await build({ ...common, entryPoints: { limit: join(here, "limit.ts") }, format: "cjs", outExtension: { ".js": ".cjs" } }) // prettier-ignore
  await build({
    ...common,
    entryPoints: {
      ours: join(here, "ours/main.ts"),
      tfjs: join(here, "peers/tfjs.mjs"),
      jax: join(here, "peers/jax.mjs"),
      brainjs: join(here, "peers/brainjs.mjs"),
      jspytorch: join(here, "peers/jspytorch.mjs"),
    },
    format: "esm",
    outExtension: { ".js": ".mjs" },
    // Backends are dynamic imports: files of their own, as a user's bundler would leave them.
    splitting: true,
    minify: false,
    keepNames: false,
  })
  return (program) => join(folder, program === "limit" ? "limit.cjs" : `${program}.mjs`)
}

/** PyTorch's program, which needs no bundling. */
export const torchProgram = join(here, "peers/pytorch.py")
