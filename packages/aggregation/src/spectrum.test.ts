import fc from "fast-check"

import type { AdapterModule } from "@lamina/protocol"

import { spectrum } from "./spectrum.js"

const module = (values: Partial<AdapterModule>): AdapterModule => ({
  ...{ name: "q", outFeatures: 3, inFeatures: 2, rank: 1, alpha: 2, scaling: "lora" },
  ...{ a: new Float32Array(2), b: new Float32Array(3) },
  ...values,
})
const valuesOf = (given: AdapterModule): readonly number[] => spectrum({ modules: [given] })[0]?.values ?? []

test("a product of rank one has the norms of its factors as its only singular value", () => {
  // s = alpha / r = 2; ||(3, 4)|| = 5, ||(1, 2, 2)|| = 3
  const values = valuesOf(module({ a: new Float32Array([3, 4]), b: new Float32Array([1, 2, 2]) }))
  expect(values).toHaveLength(1)
  expect(values[0]).toBeCloseTo(30, 10)
})

test("a rank above both sides gives as many values as the smaller side", () => {
  // B (3,4) = [I 0], A (4,2) = rows of diag(5, 2): dW = s·B·A = diag(5, 2) with s = 4 / 4
  const a = new Float32Array([5, 0, 0, 2, 0, 0, 7, 7])
  const b = new Float32Array([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0])
  const values = valuesOf(module({ rank: 4, alpha: 4, a, b }))
  expect(values).toHaveLength(2)
  expect(values[0]).toBeCloseTo(5, 12)
  expect(values[1]).toBeCloseTo(2, 12)
})

const size = fc.integer({ min: 1, max: 7 })

test("their squares sum to the squared Frobenius norm of s·B·A, and they fall", () => {
  fc.assert(
    fc.property(size, size, size, fc.infiniteStream(fc.integer({ min: -9, max: 9 })), (m, n, r, stream) => {
      const take = (length: number): Float32Array => Float32Array.from({ length }, () => stream.next().value as number)
      const given = module({ outFeatures: m, inFeatures: n, rank: r, alpha: r, a: take(r * n), b: take(m * r) })
      let energy = 0
      for (let i = 0; i < m; i++)
        for (let j = 0; j < n; j++) {
          let sum = 0
          for (let k = 0; k < r; k++) sum += (given.b[i * r + k] ?? 0) * (given.a[k * n + j] ?? 0)
          energy += sum * sum
        }
      const values = valuesOf(given)
      expect(values).toHaveLength(Math.min(m, n, r))
      const squares = values.reduce((sum, value) => sum + value * value, 0)
      // whole numbers under 2^53 throughout but for the rotations: a few hundred roundings of 2^-53
      expect(Math.abs(squares - energy)).toBeLessThanOrEqual(1e-12 * energy)
      for (const [i, value] of values.entries()) expect(value).toBeLessThanOrEqual(values[i - 1] ?? Infinity)
    }),
  )
})
