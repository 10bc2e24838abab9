// Bundles Rondo's sources and the peers' programs into plain JavaScript, once before anything is timed. Running TypeScript
// through a loader instead would be unfair to Rondo: tsx keeps function names by a call around every closure.
import { build } from "esbuild"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const here = fileURLToPath(new URL(".", import.meta.url))

/** Programs by name, as files in `folder`: `ours.mjs`, `tfjs.mjs`, … */
export async function bundle(folder: string): Promise<(program: string) => string> {
  await build({
    entryPoints: {
      ours: join(here, "ours/main.ts"),
      tfjs: join(here, "peers/tfjs.mjs"),
      jax: join(here, "peers/jax.mjs"),
      brainjs: join(here, "peers/brainjs.mjs"),
      jspytorch: join(here, "peers/jspytorch.mjs"),
    },
    bundle: true,
    // Backends are dynamic imports: files of their own, as a user's bundler would leave them.
    splitting: true,
    platform: "node",
    format: "esm",
    target: "node20",
    outdir: folder,
    outExtension: { ".js": ".mjs" },
    minify: false,
    keepNames: false,
    logLevel: "warning",
  })
  return (program) => join(folder, `${program}.mjs`)
}

/** PyTorch's program, which needs no bundling. */
export const torchProgram = join(here, "peers/pytorch.py")
