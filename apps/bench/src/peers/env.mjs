// Where the peers are installed: a temporary folder, never the repository, since nothing of ours depends on them.
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"

export const peerFolder = process.env.BENCH_PEERS ?? join(tmpdir(), "rondo-bench-peers")
export const peerRequire = createRequire(join(peerFolder, "package.json"))
