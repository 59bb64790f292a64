import { chooseLinalgBackend } from "@lamina/kernels/linalg"
import fc from "fast-check"

import { compress } from "./compress.js"
import { RUNS } from "./testing/arbitraries.js"
import { adapterOf, denseError, denseOf, randomModule } from "./testing/cohorts.js"

const anyModule = fc
  .record({
    outFeatures: fc.integer({ min: 1, max: 24 }),
    inFeatures: fc.integer({ min: 1, max: 24 }),
    rank: fc.integer({ min: 1, max: 40 }),
    alpha: fc.integer({ min: 1, max: 64 }),
    scaling: fc.constantFrom("lora" as const, "rslora" as const),
    seed: fc.integer(),
  })
  .map(({ seed, ...size }) => randomModule(size, seed))

/** f32 factors of a product of up to 24 terms: a few 2^-24 each, 1e-6 where terms cancel. */
const F32 = 1e-6

test("the error is within tau, as reported and as computed directly, and the rank within min(m, n)", () => {
  fc.assert(
    fc.property(anyModule, fc.double({ min: 1e-4, max: 0.9, noNaN: true }), (module, tau) => {
      const { adapter, errors } = compress(adapterOf(module), { tau })
      const [result] = adapter.modules
      const direct = denseError(denseOf(result!), denseOf(module))
      expect(errors[0]!.relativeError).toBeLessThanOrEqual(tau)
      expect(Math.abs(direct - errors[0]!.relativeError)).toBeLessThan(F32)
      expect(result!.rank).toBeLessThanOrEqual(Math.min(module.rank, module.outFeatures, module.inFeatures))
    }),
    RUNS,
  )
})

test("no smaller rank is within tau", () => {
  fc.assert(
    fc.property(anyModule, fc.double({ min: 1e-3, max: 0.9, noNaN: true }), (module, tau) => {
      const { rank } = compress(adapterOf(module), { tau }).adapter.modules[0]!
      fc.pre(rank > 1)
      const { errors } = compress(adapterOf(module), { tau: 0, maxRank: rank - 1 })
      expect(errors[0]!.relativeError).toBeGreaterThan(tau)
    }),
    RUNS,
  )
})

test("lossless keeps the product to rounding, and what has no rank to lose is returned as it is", () => {
  fc.assert(
    fc.property(anyModule, (module) => {
      const once = compress(adapterOf(module), { tau: 0 })
      const [result] = once.adapter.modules
      const limit = Math.min(module.outFeatures, module.inFeatures)
      expect(once.errors[0]!.relativeError).toBe(0)
      if (module.rank <= limit) expect(result).toBe(module)
      expect(result!.rank).toBe(Math.min(module.rank, limit))
      expect(denseError(denseOf(result!), denseOf(module))).toBeLessThan(F32)
      expect(compress(once.adapter, { tau: 0 }).adapter).toEqual(once.adapter)
    }),
    RUNS,
  )
})

test("a capped rank is the best one, and capping again changes no byte", () => {
  fc.assert(
    fc.property(anyModule, fc.integer({ min: 1, max: 12 }), (module, maxRank) => {
      const once = compress(adapterOf(module), { tau: 0, maxRank })
      const [result] = once.adapter.modules
      expect(result!.rank).toBeLessThanOrEqual(maxRank)
      expect(Math.abs(denseError(denseOf(result!), denseOf(module)) - once.errors[0]!.relativeError)).toBeLessThan(F32)
      expect(compress(once.adapter, { tau: 0, maxRank }).adapter).toEqual(once.adapter)
    }),
    RUNS,
  )
})

/** Rank 3 with singular values 4, 2, 1 on the axes, plus 1e-3 on a fourth. */
const known = {
  ...{ name: "q", outFeatures: 5, inFeatures: 4, rank: 4, alpha: 4, scaling: "lora" as const },
  a: Float32Array.from({ length: 16 }, (_, i) => (i % 5 === 0 ? 1 : 0)),
  b: Float32Array.from({ length: 20 }, (_, i) => (i % 5 === 0 ? [4, -2, 1, 1e-3][i / 5]! : 0)),
}

test("known singular values are dropped as the energies say", () => {
  // total energy 16 + 4 + 1 + 1e-6 = 21; dropping 1e-3: 1e-3/sqrt(21) = 2.2e-4; dropping 1 too: sqrt(1/21) = 0.218
  const at = (tau: number): [number, number] => {
    const { adapter, errors } = compress(adapterOf(known), { tau })
    return [adapter.modules[0]!.rank, errors[0]!.relativeError]
  }
  expect(at(2e-4)).toEqual([4, 0])
  expect(at(3e-4)[0]).toBe(3)
  expect(at(3e-4)[1]).toBeCloseTo(1e-3 / Math.sqrt(21), 9)
  expect(at(0.22)[0]).toBe(2)
  expect(at(0.22)[1]).toBeCloseTo(Math.sqrt(1 / 21), 6)
})

test("compressing again keeps what is above tau: same rank, same product", () => {
  const once = compress(adapterOf(known), { tau: 3e-4 })
  const twice = compress(once.adapter, { tau: 3e-4 })
  expect(twice.adapter).toEqual(once.adapter)
  expect(twice.errors[0]!.relativeError).toBe(0)
})

test("factors share the singular values evenly, and the largest entry of each row of A is positive", () => {
  const [module] = compress(adapterOf(known), { tau: 3e-4 }).adapter.modules
  // B and A both carry the roots of 4, 2, 1; the sign of -2 lies in B
  const diagonal = [0, 1, 2].map((k) => [module!.b[k * 3 + k], module!.a[k * 4 + k]])
  const close = [
    [2, 2],
    [-Math.SQRT2, Math.SQRT2],
    [1, 1],
  ]
  for (const [k, pair] of diagonal.entries())
    for (const [i, value] of pair.entries()) expect(value).toBeCloseTo(close[k]![i]!, 6)
  expect(module).toMatchObject({ rank: 3, alpha: 3, scaling: "lora" })
})

test("a zero module becomes rank 1 and stays zero", () => {
  const zero = { ...randomModule({ outFeatures: 6, inFeatures: 5, rank: 3 }, 1), b: new Float32Array(18) }
  const { adapter, errors } = compress(adapterOf(zero), { tau: 1e-3 })
  expect(adapter.modules[0]!.rank).toBe(1)
  expect(denseOf(adapter.modules[0]!)).toEqual(new Float64Array(30))
  expect(errors[0]!.relativeError).toBe(0)
})

test("wide modules follow the sign rule too", () => {
  // the largest entry of each row of A (3 x 4) of the transpose of `known`, whose -2 would lie in A
  const wide = { ...known, outFeatures: 4, inFeatures: 5, a: transposed(known.b, 5, 4), b: transposed(known.a, 4, 4) }
  const [module] = compress(adapterOf(wide), { tau: 3e-4 }).adapter.modules
  expect(module).toMatchObject({ rank: 3, outFeatures: 4, inFeatures: 5 })
  expect([0, 1, 2].map((k) => module!.a[k * 5 + k]! > 0)).toEqual([true, true, true])
  expect(denseError(denseOf(module!), denseOf(wide))).toBeCloseTo(1e-3 / Math.sqrt(21), 6)
})

function transposed(values: Float32Array, rows: number, cols: number): Float32Array {
  return Float32Array.from(values, (_, at) => values[(at % rows) * cols + Math.floor(at / rows)]!)
}

test("reference and native kernels drop the same energy at the same rank", () => {
  try {
    fc.assert(
      fc.property(anyModule, fc.integer({ min: 1, max: 12 }), (module, maxRank) => {
        const [native, reference] = (["native", "reference"] as const).map((backend) => {
          chooseLinalgBackend(backend)
          return compress(adapterOf(module), { tau: 0, maxRank })
        })
        // errors² are dropped energies over the total, of up to 40 x 24 terms rounded some times each
        const errors = [native!, reference!].map(({ errors: [error] }) => error!.relativeError ** 2)
        expect(Math.abs(errors[0]! - errors[1]!)).toBeLessThan(40 * 40 * 2 ** -53)
        const [left, right] = [native!, reference!].map(({ adapter }) => adapter.modules[0]!)
        expect(left!.rank).toBe(right!.rank)
      }),
      RUNS,
    )
  } finally {
    chooseLinalgBackend("native")
  }
})

test("a stack far larger than a register tile: the error is what is reported, and a lost rank is found", () => {
  // rank 20 in 60 columns of B: the rest repeats them
  const module = randomModule({ outFeatures: 300, inFeatures: 200, rank: 60 }, 5)
  const repeated = { ...module, b: module.b.map((_, at) => module.b[at - (at % 60) + ((at % 60) % 20)]!) }
  const lossless = compress(adapterOf(repeated), { tau: 1e-7 })
  expect(lossless.adapter.modules[0]!.rank).toBe(20)
  expect(denseError(denseOf(lossless.adapter.modules[0]!), denseOf(repeated))).toBeLessThan(F32)
  const capped = compress(adapterOf(module), { tau: 0, maxRank: 16 })
  const direct = denseError(denseOf(capped.adapter.modules[0]!), denseOf(module))
  expect(Math.abs(direct - capped.errors[0]!.relativeError)).toBeLessThan(F32)
  expect(direct).toBeGreaterThan(0.1)
})

test("one adapter's modules of different sizes do not disturb one another", () => {
  const modules = [
    randomModule({ name: "a", outFeatures: 30, inFeatures: 50, rank: 20 }, 1),
    randomModule({ name: "b", outFeatures: 60, inFeatures: 9, rank: 12 }, 2),
    randomModule({ name: "c", outFeatures: 8, inFeatures: 10, rank: 6 }, 3),
  ]
  const together = compress(adapterOf(...modules), { tau: 0, maxRank: 5 })
  for (const [i, module] of modules.entries())
    expect(together.adapter.modules[i]).toEqual(compress(adapterOf(module), { tau: 0, maxRank: 5 }).adapter.modules[0])
})

test("options out of range are refused", () => {
  const code = "RECIPE_INVALID"
  for (const options of [{ tau: 1 }, { tau: -1 }, { tau: NaN }, { tau: 0, maxRank: 0 }, { tau: 0, maxRank: 1.5 }])
    expect(() => compress(adapterOf(known), options)).toThrow(expect.objectContaining({ code }))
})
