// A page with a backend that is wrong in one kernel and lets go of no memory: the suite must find both, and say where.
import type { Storage } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { servePage } from "../../src/page.js"

class Wrong extends CpuJs {
  private readonly kept: Storage[] = []

  override alloc(bytes: number): Storage {
    const storage = super.alloc(bytes)
    this.kept.push(storage)
    return storage
  }

  override run(...[kernel, inputs, outputs, scalars]: Parameters<CpuJs["run"]>): void {
    super.run(kernel.kind === "scan" ? { ...kernel, op: "sum" } : kernel, inputs, outputs, scalars)
  }
}

servePage(() => new Wrong(), { reference: () => new CpuJs() })
