// Types of bundle.mjs, for tests.
export interface Manifest {
  readonly name: string
  readonly exports: Readonly<Record<string, string>>
  readonly publishConfig: { readonly exports: Readonly<Record<string, unknown>> }
}
export function readManifest(folder: string): Manifest
export function entriesOf(manifest: Manifest): [subpath: string, file: string][]
export function bundlePackage(folder: string, outdir: string): Promise<void>
