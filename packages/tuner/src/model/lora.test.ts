import { scaleOf } from "@lamina/protocol"
import type { Adapter, AdapterModule } from "@lamina/protocol"

import { uniformArray } from "./counter-random.js"
import { continuedAdapter, foldAdapters, initialAdapter } from "./lora.js"
import { allModules, randomBase } from "./testing/random-base.js"
import { relativeError } from "./testing/relative-error.js"

const base = randomBase({ seed: 1, config: { hidden: 256, ffn: 256, headDim: 64 } })
const modules = allModules(base, { rank: 16, alpha: 32 })
const fresh = (seed: number): Adapter => initialAdapter(base, { modules, scaling: "lora", seed })

test("A is uniform in ±1/sqrt(inFeatures) and B is zero", () => {
  for (const { inFeatures, a, b } of fresh(3).modules) {
    const bound = 1 / Math.sqrt(inFeatures)
    const mean = a.reduce((sum, value) => sum + value, 0) / a.length
    const variance = a.reduce((sum, value) => sum + value * value, 0) / a.length
    // n = 16 · 256 values of variance bound²/3: five standard errors of the mean, and of the mean square, which are
    // sqrt(4/45 / n) · bound²
    expect(Math.abs(mean)).toBeLessThan((5 * bound) / Math.sqrt(3 * a.length))
    expect(Math.abs(variance - bound ** 2 / 3)).toBeLessThan(5 * bound ** 2 * Math.sqrt(4 / 45 / a.length))
    expect(Math.max(...a)).toBeGreaterThan(0.99 * bound)
    expect(Math.max(...a)).toBeLessThan(bound)
    expect(b.every((value) => value === 0)).toBe(true)
  }
})

test("A depends on the seed and the module's name, not on which other modules are trained", () => {
  const all = fresh(3)
  const one = initialAdapter(base, { modules: modules.slice(5, 6), scaling: "lora", seed: 3 })
  const [module] = one.modules as [AdapterModule]
  expect(module.a).toEqual(all.modules.find(({ name }) => name === module.name)?.a)
  const values = (adapter: Adapter): string[] => adapter.modules.map(({ a }) => a.join())
  expect(values(fresh(3))).toEqual(values(all))
  expect(new Set([...values(all), ...values(fresh(4))]).size).toBe(2 * modules.length)
})

test("modules come sorted by name", () => {
  const shuffled = [...modules].reverse()
  const names = initialAdapter(base, { modules: shuffled, scaling: "lora", seed: 3 }).modules.map(({ name }) => name)
  expect(names).toEqual([...names].sort())
})

test("modules the base has not, or of another shape, are refused", () => {
  const first = modules[0] as (typeof modules)[0]
  const start =
    (module: object): (() => void) =>
    () =>
      initialAdapter(base, { modules: [{ ...first, ...module }], scaling: "lora", seed: 1 })
  expect(start({ name: "model.embed_tokens" })).toThrow(expect.objectContaining({ code: "ADAPTER_MISMATCH" }))
  expect(start({ name: "model.layers.9.mlp.up_proj" })).toThrow(/no such linear layer/)
  expect(start({ outFeatures: first.outFeatures + 1 })).toThrow(/as in the base/)
  expect(start({ rank: 0 })).toThrow(/rank/)
  expect(() => initialAdapter(base, { modules: [first, first], scaling: "lora", seed: 1 })).toThrow(/twice/)
  expect(() => initialAdapter(base, { modules: [], scaling: "lora", seed: 1 })).toThrow(/at least one/)
})

test("an initial adapter must have exactly the job's modules, and is copied", () => {
  const adapter = fresh(3)
  const same = continuedAdapter(base, { modules, scaling: "lora", adapter })
  expect(same).toEqual(adapter)
  expect(same.modules[0]?.a.buffer).not.toBe(adapter.modules[0]?.a.buffer)
  const fewer = { modules: adapter.modules.slice(1) }
  expect(() => continuedAdapter(base, { modules, scaling: "lora", adapter: fewer })).toThrow(
    /expected 14 modules, got 13/,
  )
  expect(() => continuedAdapter(base, { modules, scaling: "rslora", adapter })).toThrow(
    /expected .* rslora, got .* lora/,
  )
})

test("folded adapters are the sum of s·B·A, whatever their ranks and rules", () => {
  const [shape] = modules as [(typeof modules)[0]]
  const draw = (stream: number, length: number): Float32Array => uniformArray([7, 7], { stream, length, bound: 1 })
  const module = (rank: number, scaling: "lora" | "rslora"): AdapterModule => ({
    ...{ ...shape, rank, alpha: 6, scaling },
    ...{ a: draw(rank, rank * shape.inFeatures), b: draw(rank + 100, shape.outFeatures * rank) },
  })
  const parts = [module(2, "lora"), module(3, "rslora")]
  const folded = foldAdapters(
    base,
    parts.map((part) => ({ modules: [part] })),
  )[shape.name]
  expect(folded?.rank).toBe(5)
  // products of f32 factors in f64: what differs is the rounding of s·b, 2^-24 relative
  const product = (x: { a: Float32Array; b: Float32Array; rank: number }, scale: number): Float64Array =>
    Float64Array.from({ length: shape.outFeatures * shape.inFeatures }, (_, index) => {
      const [row, column] = [Math.floor(index / shape.inFeatures), index % shape.inFeatures]
      let sum = 0
      for (let r = 0; r < x.rank; r++)
        sum += (x.b[row * x.rank + r] ?? NaN) * (x.a[r * shape.inFeatures + column] ?? NaN)
      return scale * sum
    })
  const [first, second] = parts.map((part) => product(part, scaleOf(part))) as [Float64Array, Float64Array]
  const expected = first.map((value, index) => value + (second[index] as number))
  expect(relativeError(product(folded as NonNullable<typeof folded>, 1), expected)).toBeLessThan(2 ** -23)
})
