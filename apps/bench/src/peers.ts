// Who is measured: names, the command of each, and the workloads that each can do.
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { torchProgram } from "./bundle.js"
import { workloads } from "./workloads.js"

/** One row of the tables. */
export interface Peer {
  readonly name: string
  /** Without the workloads, which follow. */
  readonly command: readonly string[]
  readonly can: readonly string[]
  /** May use every core, and as many threads. */
  readonly free?: boolean
}

/** npm packages, with their exact versions. */
export type Packages = Readonly<Record<string, string>>

/** Packages of the peers, with the versions that the programs were written for. */
const packages: Packages = {
  "@tensorflow/tfjs": "4.22.0",
  "@tensorflow/tfjs-backend-wasm": "4.22.0",
  "@jax-js/jax": "0.1.25",
  "brain.js": "1.6.1",
  "js-pytorch": "0.7.2",
}

const all: readonly string[] = [...workloads, "ops"]
const without = (...names: string[]): string[] => all.filter((name) => !names.includes(name))

/** Options that change who is there. */
export interface PeerOptions {
  /** Devices on which Rondo is measured; ` threads` behind its name: not pinned to the core; ` captured`: steps are captured. */
  readonly devices: readonly string[]
  /** Python with torch. */
  readonly python: string
  /** Also what takes half a minute a step and more. */
  readonly slow: boolean
}

/** All peers, Rondo first. `program` gives the bundled file of a program. */
export function peerList(program: (name: string) => string, { devices, python, slow }: PeerOptions): Peer[] {
  const node = (name: string, ...rest: string[]): string[] => [process.execPath, program(name), ...rest]
  const torch = [python, "-B", torchProgram]
  return [
    ...devices.map((device) => {
      const free = device.includes(" threads")
      const can = device.includes(" captured") ? without("ops") : all
      return { name: `rondo ${device}`, command: node("ours", device.replace(" threads", "")), can, free }
    }),
    { name: "limit", command: node("limit"), can: ["ops"] },
    { name: "torch", command: torch, can: all },
    { name: "torch ftz", command: [...torch, "--ftz"], can: ["W4d"] },
    { name: "jax-js jit", command: node("jax", "jit"), can: without("ops") },
    {
      name: "jax-js eager",
      command: node("jax", "eager"),
      can: ["W1", "W1b", "W2", "W3", ...(slow ? ["W4"] : []), "W5"],
    },
    // The wasm backend of TensorFlow.js lacks the gradient of an embedding: W3 and W4 show its error.
    { name: "tfjs-wasm", command: node("tfjs", "wasm", "hand"), can: without("W4d") },
    { name: "tfjs-wasm layers", command: node("tfjs", "wasm", "layers"), can: ["W1", "W2", "W3", "W4", "W5"] },
    { name: "tfjs-wasm patched", command: node("tfjs", "wasm-patched", "hand"), can: ["W3", "W4", "W4d"] },
    { name: "tfjs-wasm patched layers", command: node("tfjs", "wasm-patched", "layers"), can: ["W3", "W4"] },
    // W4 takes over seven minutes a step: its UnsortedSegmentSum goes through all 6400 lookups for each of 20000 rows.
    { name: "tfjs-cpu", command: node("tfjs", "cpu", "hand"), can: without(...(slow ? ["W4d"] : ["W4", "W4d"])) },
    { name: "tfjs-cpu layers", command: node("tfjs", "cpu", "layers"), can: ["W1", "W2", "W3", "W5"] },
    {
      name: "js-pytorch",
      command: node("jspytorch"),
      can: slow ? ["W1", "W1-run", "W1b", "W2", "W3"] : ["W1", "W1b", "W3"],
    },
    { name: "brain.js", command: node("brainjs"), can: ["W1", "W1-run", "W3"] },
  ]
}

/**
 * The peers that `--only` names, in their own order: by full name, or by a word that stands for several (`ours`, `rondo`,
 * `torch`, `jax-js`, `tfjs-wasm`, `tfjs-cpu`). Throws an Error for a name that means nobody.
 */
export function selected(peers: readonly Peer[], only: readonly string[] | null): Peer[] {
  if (!only) return [...peers]
  const means = (wanted: string, { name }: Peer): boolean => {
    const asked = wanted === "ours" ? "rondo" : wanted
    return name === asked || (asked === "rondo" && name.startsWith("rondo "))
  }
  for (const wanted of only) {
    if (peers.some((peer) => means(wanted, peer))) continue
    throw new Error(`--only: nobody is called ${wanted}; there are ours, ${peers.map(({ name }) => name).join(", ")}`)
  }
  return peers.filter((peer) => only.some((wanted) => means(wanted, peer)))
}

/** Installs the npm peers that are missing into `folder`, without their install scripts. */
export function installPeers(folder: string, wantedPackages: Packages = packages): void {
  const missing = Object.entries(wantedPackages).filter(([name, version]) => installedVersion(folder, name) !== version)
  if (missing.length === 0) return
  mkdirSync(folder, { recursive: true })
  const manifest = join(folder, "package.json")
  if (!existsSync(manifest)) writeFileSync(manifest, '{ "private": true }\n')
  const wanted = missing.map(([name, version]) => `${name}@${version}`)
  const flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
  execFileSync("npm", ["install", "--prefix", folder, ...flags, ...wanted], { stdio: ["ignore", "ignore", "inherit"] })
}

function installedVersion(folder: string, name: string): string | null {
  const manifest = join(folder, "node_modules", name, "package.json")
  return existsSync(manifest) ? (JSON.parse(readFileSync(manifest, "utf8")) as { version: string }).version : null
}

/** Versions of the npm peers in `folder`. */
export const peerVersions = (folder: string, wantedPackages: Packages = packages): Record<string, string | null> =>
  Object.fromEntries(Object.keys(wantedPackages).map((name) => [name, installedVersion(folder, name)]))
