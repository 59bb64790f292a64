import { relativeCost, tokenCost } from "./time-model.js"
import { SHAPE_135M } from "./testing/shapes.js"

const parametersOf = (rank: number): number =>
  SHAPE_135M.modules.reduce((sum, { outFeatures, inFeatures }) => sum + rank * (outFeatures + inFeatures), 0)

const reference = {
  ...{ context: 512, lowestLayer: 0, gradientCheckpointing: false },
  ...{ parameters: parametersOf(16), frozenParameters: 0 },
}

test("the reference plan, every linear at rank 16, costs 1", () => {
  expect(relativeCost(SHAPE_135M, reference)).toBe(1)
})

test("gradient checkpointing costs a third more", () => {
  expect(relativeCost(SHAPE_135M, { ...reference, gradientCheckpointing: true })).toBeCloseTo(1.33, 12)
})

test("a block without a backward pass saves its linears and 2.5 times its attention", () => {
  // a block's weights: q and o 2 x 576², k and v 2 x 192 x 576, MLP 3 x 1536 x 576 = 3,538,944; attention forward:
  // 2 x 512 x 576 FLOPs
  const below = tokenCost(SHAPE_135M, reference) - tokenCost(SHAPE_135M, { ...reference, lowestLayer: 1 })
  expect(below).toBe(2 * 3_538_944 + 2.5 * 2 * 512 * 576)
})

test("without adapters and attention a token costs 4 FLOPs per weight, forward and backward", () => {
  // 30 blocks of 3,538,944 weights and the head of 49,152 x 576
  const weights = 30 * 3_538_944 + 49_152 * 576
  expect(tokenCost(SHAPE_135M, { ...reference, context: 0, parameters: 0 })).toBe(4 * weights)
})

// `npm run bench -- train --frozen-rank R` over the same without, processor time per token on 2 cores of a Zen 4
test.each([
  [160, 1.33],
  [480, 1.77],
])("a frozen adapter of rank %i is within 15 %% of its measured cost", (rank, measured) => {
  const trained = { ...reference, parameters: parametersOf(8) }
  const above = tokenCost(SHAPE_135M, { ...trained, frozenParameters: parametersOf(rank) })
  const ratio = above / tokenCost(SHAPE_135M, trained) / measured
  expect(ratio).toBeGreaterThan(0.85)
  expect(ratio).toBeLessThan(1.15)
})
