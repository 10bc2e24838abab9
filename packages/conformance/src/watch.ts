// Seeing what becomes of memory: weak references to every storage that kernels write for a while. Keeps nothing alive.
import type { Storage, View } from "@rondo/backend"
import { groupStorages, observers } from "@rondo/core"

/** What `run` makes can be seen one by one: storages that are watched in groups live as long as the last of their group. */
export async function ungrouped<T>(run: () => Promise<T>): Promise<T> {
  const before = groupStorages(false)
  try {
    return await run()
  } finally {
    groupStorages(before)
  }
}

/** Every storage that operations write between start and stop: how many are still reachable after a collection. */
export class Watch {
  readonly refs: WeakRef<Storage>[] = []
  private readonly known = new WeakSet<Storage>()
  private readonly observe = (_: unknown, __: unknown, outputs: readonly View[]): void => {
    for (const { storage } of outputs) {
      if (this.known.has(storage)) continue
      this.known.add(storage)
      this.refs.push(new WeakRef(storage))
    }
  }
  start(): void {
    observers.add(this.observe)
  }
  stop(): void {
    observers.delete(this.observe)
  }
  get made(): number {
    return this.refs.length
  }
  alive(): number {
    return this.refs.filter((ref) => ref.deref() !== undefined).length
  }
}
