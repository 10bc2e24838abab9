// Are subgroups what trees take them for? WGSL leaves open which threads of a workgroup form one, and in which order.
import type { Gpu } from "./gpu.js"
import type { ShaderSource } from "./queue.js"
import { teamEntry, teamSize } from "./nest.js"

const groups = 4

/** Each thread notes 1 if its subgroup stands in order from where it should begin, and its neighbour can be heard. */
const source = (): ShaderSource => ({
  name: "subgroups",
  kinds: ["w"],
  subgroups: true,
  code: `${teamEntry("@builtin(subgroup_size) lanes: u32, @builtin(subgroup_invocation_id) lane: u32,")}
  let whole = (lanes & (lanes - 1u)) == 0u && lanes <= ${teamSize}u;
  let first = subgroupBroadcastFirst(l);
  let next = subgroupShuffleDown(l, 1u);
  let right = whole && l % lanes == lane && l - lane == first && (lane + 1u == lanes || next == l + 1u);
  store0(team * ${teamSize}u + l, select(0u, 1u, right));
}`,
})

/** True if the device has subgroups, and neighbouring threads form them: asked once, by a kernel. */
export async function hasOrderedSubgroups({ device, queue, pool, transfers }: Gpu): Promise<boolean> {
  if (!device.features.has("subgroups" as GPUFeatureName)) return false
  const bytes = groups * teamSize * 4
  const block = pool.take(bytes)
  try {
    transfers.write(block, 0, new Uint8Array(bytes), bytes)
    queue.dispatch(queue.program("subgroups", source), [block], [], [groups, 1, 1])
    return new Uint32Array(await transfers.read(block, 0, bytes)).every((right) => right === 1)
  } catch {
    // A driver that says it has them and refuses the kernel: all goes on without.
    return false
  } finally {
    pool.give(block)
  }
}
