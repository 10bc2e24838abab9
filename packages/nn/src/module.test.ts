// Modules as containers of state: names, order, sharing, loading, moving, printing; and what bad input does to them.
import { DeviceError, DTypeError, IndexError, StateDictError, ValueError } from "@rondo/backend"
import { CpuJs } from "@rondo/backend-cpu-js"
import { Device, ones, scope, tensor, Tensor, use, zeros } from "@rondo/core"
import { beforeAll, describe, expect, it } from "vitest"
import { Dropout, Linear, Module, ModuleDict, ModuleList, Parameter, RNN, Sequential, Tanh } from "./index.js"

beforeAll(() => {
  use(new CpuJs())
})

class Inner extends Module {
  scale = new Parameter(ones(2))
  constructor() {
    super()
    this.registerBuffer("count", zeros(1))
    this.registerBuffer("scratch", zeros(3), { persistent: false })
    this.registerBuffer("later", null)
  }
  forward(x: Tensor): Tensor {
    return x.mul(this.scale)
  }
}
class Outer extends Module {
  first = new Linear(3, 2)
  inner = new Inner()
  layers = new ModuleList([new Linear(2, 2), new Linear(2, 1, { bias: false })])
  own = new Parameter(zeros(4))
  note = "not a parameter"
  plain = zeros(2)
  nothing: Parameter | null = null
  forward(x: Tensor): Tensor {
    let value = this.inner.forward(this.first.forward(x))
    for (const layer of this.layers) value = layer.forward(value)
    return value
  }
}

describe("what a module has", () => {
  it("is found in the order of PyTorch: own first, then children in the order of the fields", () => {
    const module = new Outer()
    const names = ["own", "first.weight", "first.bias", "inner.scale", "layers.0.weight", "layers.0.bias", "layers.1.weight"] // prettier-ignore
    expect(module.namedParameters().map(([name]) => name)).toEqual(names)
    expect(module.namedParameters("net").map(([name]) => name)[1]).toBe("net.first.weight")
    expect(module.parameters()).toHaveLength(7)
    expect(module.namedBuffers().map(([name]) => name)).toEqual(["inner.count", "inner.scratch"])
    expect(module.namedChildren().map(([name]) => name)).toEqual(["first", "inner", "layers"])
    expect(module.namedModules().map(([name]) => name)).toEqual(["", "first", "inner", "layers", "layers.0", "layers.1"]) // prettier-ignore
    const keys = ["own", "first.weight", "first.bias", "inner.scale", "inner.count", "layers.0.weight", "layers.0.bias", "layers.1.weight"] // prettier-ignore
    expect(Object.keys(module.stateDict())).toEqual(keys)
    expect(Object.keys(module.stateDict("net."))[3]).toBe("net.inner.scale")
    expect(module.forward(ones(5, 3)).shape).toEqual([5, 1])
  })
  it("counts shared parameters and modules once, but saves them under every name", () => {
    const shared = new Linear(2, 2)
    const module = new Sequential(shared, new Tanh(), shared)
    expect(module.parameters()).toHaveLength(2)
    expect(module.modules()).toHaveLength(3)
    expect(Object.keys(module.stateDict())).toEqual(["0.weight", "0.bias", "2.weight", "2.bias"])
  })
  it("follows fields that are assigned later", () => {
    const module = new Inner()
    module.scale = new Parameter(ones(5))
    ;(module as unknown as Record<string, unknown>).later = ones(1)
    expect(module.parameters()[0].shape).toEqual([5])
    expect(Object.keys(module.stateDict())).toEqual(["scale", "count", "later"])
  })
  it("throws for a plain array of modules, which would not be trained", () => {
    class Wrong extends Module {
      layers = [new Linear(1, 1)]
      forward(): void {}
    }
    expect(() => new Wrong().parameters()).toThrow(ValueError)
    expect(() => new Wrong().stateDict()).toThrow(/Wrong: field layers is a plain array.*ModuleList/)
  })
  it("checks registered names", () => {
    const module = new Inner()
    expect(() => module.registerBuffer("a.b", null)).toThrow(/must not contain a dot: got "a.b"/)
    expect(() => module.registerParameter("", null)).toThrow(ValueError)
    expect(() => module.registerModule("forward", new Tanh())).toThrow(/is in use/)
    expect(() => module.registerBuffer("scale", zeros(1))).toThrow(/is in use/)
  })
})

describe("Parameter", () => {
  it("is a leaf tensor that shares memory", () => {
    const data = zeros(2, 3)
    const parameter = new Parameter(data.transpose(0, 1))
    expect([parameter.requiresGrad, parameter.isLeaf, parameter.shape]).toEqual([true, true, [3, 2]])
    expect(parameter).toBeInstanceOf(Tensor)
    data.fill_(2)
    expect(parameter.tolistSync()).toEqual([[2, 2], [2, 2], [2, 2]]) // prettier-ignore
    expect(() => new Parameter(tensor([1], { dtype: "int32" }))).toThrow(DTypeError)
    expect(new Parameter(tensor([1], { dtype: "int32" }), false).requiresGrad).toBe(false)
  })
})

describe("switches", () => {
  it("reach everything below", () => {
    const module = new Sequential(new Dropout(0.5), new Sequential(new Dropout(0.1)))
    expect(module.eval().modules().map(({ training }) => training)).toEqual([false, false, false, false]) // prettier-ignore
    expect(module.forward(ones(4)).tolistSync()).toEqual([1, 1, 1, 1])
    expect(module.train().modules().every(({ training }) => training)).toBe(true) // prettier-ignore
    const order: string[] = []
    module.apply((each) => order.push(each.constructor.name))
    expect(order).toEqual(["Dropout", "Dropout", "Sequential", "Sequential"])
  })
  it("freeze and clear gradients", () => {
    const layer = new Linear(2, 1)
    layer.forward(ones(3, 2)).sum().backward()
    expect(layer.weight.grad?.tolistSync()).toEqual([[3, 3]])
    layer.zeroGrad({ setToNone: false })
    expect(layer.weight.grad?.tolistSync()).toEqual([[0, 0]])
    layer.zeroGrad()
    expect(layer.weight.grad).toBeNull()
    layer.requiresGrad_(false)
    expect(layer.forward(ones(3, 2)).requiresGrad).toBe(false)
  })
})

describe("loadStateDict", () => {
  const values = (module: Module): unknown => Object.values(module.stateDict()).map((x) => x.tolistSync())

  it("copies into the same tensors, from an object or a map", () => {
    const [from, to] = [new Outer(), new Outer()]
    const before = to.parameters()
    const result = to.loadStateDict(from.stateDict())
    expect(result).toEqual({ missingKeys: [], unexpectedKeys: [] })
    expect(values(to)).toEqual(values(from))
    expect(to.parameters().every((parameter, i) => parameter === before[i] && parameter.requiresGrad)).toBe(true)
    from.own.detach().fill_(7)
    expect(to.own.tolistSync()).toEqual([0, 0, 0, 0])
    to.loadStateDict(new Map(Object.entries(from.stateDict())))
    expect(to.own.tolistSync()).toEqual([7, 7, 7, 7])
  })
  it("converts between float dtypes", () => {
    const layer = new Linear(1, 1)
    layer.loadStateDict({ weight: tensor([[0.5]], { dtype: "float64" }), bias: tensor([2], { dtype: "float64" }) })
    expect([layer.weight.dtype, layer.weight.tolistSync()]).toEqual(["float32", [[0.5]]])
  })
  it("lists everything that does not fit and changes nothing", () => {
    const module = new Sequential(new Linear(2, 2), new Linear(2, 1))
    const before = values(module)
    const good = module.stateDict()
    const bad = { "0.weight": zeros(2, 3), "0.bias": tensor([1, 2], { dtype: "int32" }), "1.weight": zeros(1, 2), more: zeros(1) } // prettier-ignore
    const attempt = (dict: Record<string, Tensor>, options = {}) => {
      try {
        module.loadStateDict(dict, options)
      } catch (error) {
        expect(error).toBeInstanceOf(StateDictError)
        return (error as Error).message
      }
      return "loaded"
    }
    expect(attempt(bad)).toBe(
      "loadStateDict: Sequential: unexpected keys: more; missing keys: 1.bias; 0.weight: got shape [2, 3], expected [2, 2]; 0.bias: got dtype int32, expected float32",
    )
    expect(attempt(bad, { strict: false })).toMatch(/^loadStateDict: Sequential: 0.weight: got shape/)
    expect(attempt({ ...good, "0.bias": 3 as unknown as Tensor })).toMatch(/0.bias: got number, expected a tensor/)
    expect(values(module)).toEqual(before)
    const { "1.bias": _, ...rest } = good
    expect(module.loadStateDict({ ...rest, more: zeros(1) }, { strict: false })).toEqual({ missingKeys: ["1.bias"], unexpectedKeys: ["more"] }) // prettier-ignore
  })
  it("names both devices", () => {
    const other = new Device(new CpuJs())
    const layer = new Linear(1, 1)
    const dict = { weight: tensor([[9]]), bias: tensor([9], { device: other }) }
    expect(() => layer.loadStateDict(dict)).toThrow(DeviceError)
    expect(layer.weight.itemSync()).not.toBe(9)
  })
})

describe("to", () => {
  it("changes the dtype of floats in place of the same parameters", () => {
    const module = new Inner()
    module.registerBuffer("steps", tensor([1], { dtype: "int32" }))
    const { scale } = module
    module.forward(ones(2)).sum().backward()
    expect(module.to("float64")).toBe(module)
    expect(module.scale).toBe(scale)
    const dtypes = [scale, scale.grad, ...module.buffers()].map((x) => x?.dtype)
    expect(dtypes).toEqual(["float64", "float64", "float64", "float64", "int32"])
    module
      .forward(ones(2, { dtype: "float64" }))
      .sum()
      .backward()
    expect(scale.grad?.tolistSync()).toEqual([2, 2])
    expect(() => module.to("int32")).toThrow(DTypeError)
    expect(() => module.to("float31" as "float32")).toThrow(DTypeError)
    expect(module.float().scale.dtype).toBe("float32")
  })
  it("moves to a device and back, with gradients and buffers", async () => {
    const home = use(new CpuJs())
    const other = new Device(new CpuJs())
    const module = new Outer()
    const own = module.parameters()
    const before = own.map((x) => x.tolistSync())
    module.forward(ones(5, 3)).sum().backward()
    const gradient = module.first.weight.grad?.tolistSync()
    await module.to(other)
    expect(module.parameters().every((x, i) => x === own[i] && x.device === other)).toBe(true)
    expect(module.buffers().every((x) => x.device === other)).toBe(true)
    expect(module.first.weight.grad?.device).toBe(other)
    expect(module.forward(ones(5, 3, { device: other })).device).toBe(other)
    expect(() => module.forward(ones(5, 3))).toThrow(DeviceError)
    await module.to(home)
    expect(own.map((x) => x.tolistSync())).toEqual(before)
    expect(module.first.weight.grad?.tolistSync()).toEqual(gradient)
  })
  it("gives the old memory back", async () => {
    const backend = new CpuJs()
    const device = new Device(backend)
    const layer = new RNN(3, 4, { device })
    const { buffers } = backend.memory()
    await layer.to(use(new CpuJs()))
    expect(backend.memory().buffers).toBe(buffers - 4)
  })
})

describe("a scope", () => {
  it("frees neither parameters nor buffers made inside", () => {
    const module = scope(() => {
      const made = new Outer()
      made.forward(ones(5, 3)).sum().backward()
      return made.double()
    })
    expect(module.forward(ones(5, 3, { dtype: "float64" })).shape).toEqual([5, 1])
    expect(module.inner.scale.grad?.dtype).toBe("float64")
    expect(module.buffers().map((x) => x.tolistSync())).toEqual([[0], [0, 0, 0]])
  })
})

describe("containers", () => {
  it("print as PyTorch's", () => {
    const module = new Sequential({ hidden: new Linear(2, 3), deep: new Sequential(new Tanh(), new Dropout(0.25)) })
    expect(String(module)).toBe(
      "Sequential(\n  (hidden): Linear(in_features=2, out_features=3, bias=True)\n  (deep): Sequential(\n    (0): Tanh()\n    (1): Dropout(p=0.25, inplace=False)\n  )\n)",
    )
    expect(Object.keys(module.stateDict())).toEqual(["hidden.weight", "hidden.bias"])
  })
  it("give items by position and by name", () => {
    const list = new ModuleList([new Linear(1, 1), new Linear(1, 2)]).append(new Linear(1, 4))
    list.insert(2, new Linear(1, 3))
    expect([...list].map(({ outFeatures }) => outFeatures)).toEqual([1, 2, 3, 4])
    expect([list.length, list.at(-1).outFeatures]).toEqual([4, 4])
    expect(() => list.at(4)).toThrow(IndexError)
    expect(() => list.at(NaN)).toThrow(/index out of range: got NaN, expected -4 to 3/)
    expect(() => list.insert(9, new Linear(1, 1))).toThrow(IndexError)
    const dict = new ModuleDict({ b: new Linear(1, 1), a: new Linear(1, 2) })
    dict.set("c", new Linear(1, 3)).delete("b")
    expect(dict.keys()).toEqual(["a", "c"])
    expect(dict.get("c").outFeatures).toBe(3)
    expect(() => dict.get("b")).toThrow(/no module of that name: got "b", expected a, c/)
    expect(() => dict.set("x.y", new Linear(1, 1))).toThrow(ValueError)
    expect(() => list.forward()).toThrow(ValueError)
    expect(() => new Sequential(3 as never)).toThrow(/Sequential: item 0 is not a module: got number/)
  })
})
