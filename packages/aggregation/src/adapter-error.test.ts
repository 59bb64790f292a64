import { adapterDistance, adapterError } from "./adapter-error.js"
import { adapterOf, denseError, denseOf, randomModule } from "./testing/cohorts.js"

test("adapterError equals the dense difference, with different ranks and scales", () => {
  const exact = randomModule({ outFeatures: 30, inFeatures: 20, rank: 3, alpha: 5 }, 1)
  const other = randomModule({ outFeatures: 30, inFeatures: 20, rank: 4, alpha: 8, scaling: "rslora" }, 2)
  const [error] = adapterError(adapterOf(other), adapterOf(exact))
  expect(error!.relativeError).toBeCloseTo(denseError(denseOf(other), denseOf(exact)), 12)
  expect(adapterError(adapterOf(exact), adapterOf(exact))[0]!.relativeError).toBeLessThan(1e-15)
})

test("a module that is missing counts as zero", () => {
  const module = randomModule({ outFeatures: 3, inFeatures: 2, rank: 2 }, 1)
  const zero = { ...module, b: new Float32Array(6) }
  expect(adapterError(adapterOf(), adapterOf(module))).toEqual([{ module: "q_proj", relativeError: 1 }])
  expect(adapterError(adapterOf(module), adapterOf())).toEqual([{ module: "q_proj", relativeError: Infinity }])
  expect(adapterError(adapterOf(zero), adapterOf())).toEqual([{ module: "q_proj", relativeError: 0 }])
  expect(adapterError(adapterOf(), adapterOf(zero))).toEqual([{ module: "q_proj", relativeError: 0 }])
})

test("shapes that differ are refused", () => {
  const left = adapterOf(randomModule({ outFeatures: 3, inFeatures: 2, rank: 2 }, 1))
  const right = adapterOf(randomModule({ outFeatures: 2, inFeatures: 2, rank: 2 }, 1))
  expect(() => adapterError(left, right)).toThrow(expect.objectContaining({ code: "ADAPTER_MISMATCH" }))
})

test("adapterDistance is the root of summed squares over all modules, one of which is missing", () => {
  const shape = { outFeatures: 30, inFeatures: 20, rank: 3, alpha: 5 }
  const [q, k] = [
    { ...randomModule(shape, 1), name: "q" },
    { ...randomModule({ ...shape, rank: 4 }, 2), name: "k" },
  ]
  const other = { ...randomModule(shape, 3), name: "q" }
  const squares = (values: Iterable<number>): number => [...values].reduce((sum, value) => sum + value * value, 0)
  const [denseQ, denseK, denseOther] = [denseOf(q), denseOf(k), denseOf(other)]
  // ||q - other||² + ||k||² against ||q||² + ||k||²
  const moved = squares(denseQ.map((value, i) => value - denseOther[i]!)) + squares(denseK)
  const expected = Math.sqrt(moved / (squares(denseQ) + squares(denseK)))
  expect(adapterDistance(adapterOf(other), adapterOf(k, q))).toBeCloseTo(expected, 12)
  expect(adapterDistance(adapterOf(), adapterOf(k, q))).toBe(1)
  expect(adapterDistance(adapterOf(), adapterOf())).toBe(0)
  expect(adapterDistance(adapterOf(q), adapterOf())).toBe(Infinity)
})
