import { scaleOf } from "@lamina/protocol"
import type { Adapter, AdapterModule, Plan } from "@lamina/protocol"
import { initialA } from "@lamina/tuner/initial-factors"

import { startingPoint } from "./starting-point.js"

const [M, N] = [5, 3]

/** Values of their own in every place. */
function viewModule(name: string, rank: number, extra: Partial<AdapterModule> = {}): AdapterModule {
  const draw = (start: number, length: number): Float32Array =>
    Float32Array.from({ length }, (_, i) => Math.sin(start + 7 * i))
  return {
    ...{ name, outFeatures: M, inFeatures: N, rank, alpha: 2 * rank, scaling: "lora" },
    ...{ a: draw(rank, rank * N), b: draw(rank + 0.5, M * rank), ...extra },
  }
}

function planOf(modules: Partial<Plan["modules"][number]>[], extra: Partial<Plan> = {}): Plan {
  return {
    modules: modules.map((module) => ({
      ...{ name: "q", outFeatures: M, inFeatures: N, rank: 4, alpha: 8, startRank: 0, ...module },
    })),
    ...{ scaling: "lora", initSeed: 11, ...extra },
  } as Plan
}

/** s·B·A (M,N) over all modules of that name, in f64. */
function deltaOf(name: string, ...adapters: (Adapter | undefined)[]): number[] {
  const sum = Array.from({ length: M * N }, () => 0)
  for (const module of adapters.flatMap((adapter) => adapter?.modules ?? []).filter((m) => m.name === name))
    for (let i = 0; i < M; i++)
      for (let j = 0; j < N; j++)
        for (let r = 0; r < module.rank; r++)
          sum[i * N + j]! += scaleOf(module) * module.b[i * module.rank + r]! * module.a[r * N + j]!
  return sum
}

test("without a start rank all of the view is frozen and nothing is given to start from", () => {
  const view = { modules: [viewModule("k", 2), viewModule("q", 3)] }
  expect(startingPoint(planOf([{}]), view)).toEqual({ initial: undefined, frozen: view })
  expect(startingPoint(planOf([{}]), undefined)).toEqual({ initial: undefined, frozen: undefined })
})

test.each([
  ["lora", "lora"],
  ["lora", "rslora"],
  ["rslora", "lora"],
] as const)("start and frozen rest together are the view: plan %s, view %s", (planScaling, viewScaling) => {
  const view = { modules: [viewModule("q", 5, { scaling: viewScaling })] }
  const { initial, frozen } = startingPoint(planOf([{ rank: 4, startRank: 2 }], { scaling: planScaling }), view)
  expect(initial?.modules).toMatchObject([{ name: "q", rank: 4, alpha: 8, scaling: planScaling }])
  expect(frozen?.modules).toMatchObject([{ name: "q", rank: 3, scaling: viewScaling }])
  const whole = deltaOf("q", view)
  const parts = deltaOf("q", initial, frozen)
  // each of five products is rounded twice at most (b to f32, the scale of the rest in f64), all terms are below 2
  for (const [i, value] of parts.entries()) expect(Math.abs(value - whole[i]!)).toBeLessThan(5 * 2 * 2 * 2 ** -24)
})

test("the first rows of A are the view's, the rest drawn from initSeed, their columns of B zero", () => {
  const module = viewModule("q", 2)
  const { initial, frozen } = startingPoint(planOf([{ rank: 4, alpha: 4, startRank: 2 }]), { modules: [module] })
  const [start] = initial?.modules as [AdapterModule]
  const drawn = initialA({ seed: 11, name: "q", rank: 4, inFeatures: N })
  expect([...start.a]).toEqual([...module.a, ...drawn.slice(2 * N)])
  // s_view = 4/2 = 2, s_plan = 4/4 = 1: B is doubled, exactly
  for (let row = 0; row < M; row++)
    expect([...start.b.slice(4 * row, 4 * row + 4)]).toEqual([2 * module.b[2 * row]!, 2 * module.b[2 * row + 1]!, 0, 0])
  expect(frozen).toBeUndefined()
})

test("modules the plan does not train stay frozen whole, and planned ones that start new are drawn", () => {
  const view = { modules: [viewModule("k", 2), viewModule("q", 3)] }
  const { initial, frozen } = startingPoint(planOf([{ name: "v" }, { startRank: 3 }]), view)
  expect(frozen).toEqual({ modules: [view.modules[0]] })
  expect(initial?.modules.map(({ name }) => name)).toEqual(["q", "v"])
  expect(initial?.modules[1]?.a).toEqual(initialA({ seed: 11, name: "v", rank: 4, inFeatures: N }))
  expect(initial?.modules[1]?.b.every((value) => value === 0)).toBe(true)
})

test("a view with fewer rows than the plan starts from, or of another shape, is refused with the numbers", () => {
  const refused = (text: string): Error =>
    expect.objectContaining({ code: "PLAN_UNSUPPORTED", message: expect.stringContaining(text) })
  const view = { modules: [viewModule("q", 2)] }
  expect(() => startingPoint(planOf([{ startRank: 3 }]), view)).toThrow(
    refused("starts from rank 3 of the global adapter, got one of rank 2"),
  )
  expect(() => startingPoint(planOf([{ startRank: 1 }]), undefined)).toThrow(refused("got one of rank 0"))
  expect(() => startingPoint(planOf([{ inFeatures: 4 }]), view)).toThrow(refused("5 x 4, got 5 x 3"))
  expect(() => startingPoint(planOf([{ startRank: 1, alpha: 0 }]), view)).toThrow(refused("positive alpha"))
})
