import { calibratedSpeed } from "./calibrated-speed.js"
import { SHAPE_135M } from "./testing/shapes.js"

test("a client is as fast on the calibration model as it says, and slower on a larger base by its FLOPs", () => {
  const calibration = { hidden: 256, layers: 4, heads: 4, kvHeads: 4, headDim: 64, ffn: 512, vocabulary: 29 }
  expect(calibratedSpeed(calibration, { tokensPerSecond: 9_000, context: 128 })).toBeCloseTo(9_000, 8)
  // weights of one block: calibration 4 x 256² + 3 x 256 x 512 = 655,360, 135M 3,538,944; with heads, attention (3.5 x
  // 2 x context x width) and adapters (18 x 16 x out + in features: 4,352 and 10,176) a token costs
  const small = 4 * (4 * 655_360 + 3.5 * 2 * 128 * 256 + 18 * 16 * 4_352) + 4 * 29 * 256
  const large = 30 * (4 * 3_538_944 + 3.5 * 2 * 512 * 576 + 18 * 16 * 10_176) + 4 * 49_152 * 576
  expect(calibratedSpeed(SHAPE_135M, { tokensPerSecond: 9_000, context: 512 })).toBeCloseTo((9_000 * small) / large, 8)
})

test("a client that measured nothing stays unknown", () => {
  expect(calibratedSpeed(SHAPE_135M, { tokensPerSecond: 0, context: 512 })).toBe(0)
})
