import { relativeCost, tokenCost } from "./time-model.js"
import { SHAPE_135M } from "./testing/shapes.js"

const reference = {
  ...{ context: 512, lowestLayer: 0, gradientCheckpointing: false },
  parameters: SHAPE_135M.modules.reduce((sum, { outFeatures, inFeatures }) => sum + 16 * (outFeatures + inFeatures), 0),
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
