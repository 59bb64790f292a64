import { memoryBytes } from "./memory-model.js"
import { llamaShape, SHAPE_135M, SHAPE_1B } from "./testing/shapes.js"

const MIB = 2 ** 20

/** A and B of rank r on all seven linears: r x sum of (out + in features). */
const parametersOf = (
  base: { modules: readonly { outFeatures: number; inFeatures: number }[] },
  rank: number,
): number => base.modules.reduce((sum, { outFeatures, inFeatures }) => sum + rank * (outFeatures + inFeatures), 0)

/** models/tiny, with what `lamina eval` says its q8 weights take. */
const TINY = llamaShape({
  ...{ hidden: 192, layers: 6, heads: 6, kvHeads: 3, headDim: 32, ffn: 512, vocabulary: 4096 },
  bytes: { f32: 0, bf16: 0, q8: 3.272 * MIB, q4: 0, nf4: 0 },
})

const fact = { precision: "q8", batch: 1, context: 512, rank: 8, frozenRank: 0, gradientCheckpointing: false } as const

// peak memory of `npm run bench -- train` in MiB, on 2 cores of a Zen 4: the first four are in bench/results
// (train-1x512, train-checkpointing, train-1.1b; 4 x 512 in bench/README.md), the others were run with --compute bf16;
// frozen: with --frozen-rank
test.each([
  ["135M, 1 x 512", SHAPE_135M, fact, 578.7],
  ["135M, 1 x 512, gradient checkpointing", SHAPE_135M, { ...fact, gradientCheckpointing: true }, 413.4],
  ["135M, 4 x 512", SHAPE_135M, { ...fact, batch: 4 }, 1353],
  ["1.1B in q4, 1 x 512", SHAPE_1B, { ...fact, precision: "q4" as const }, 1606],
  ["135M, 1 x 128", SHAPE_135M, { ...fact, context: 128 }, 377.9],
  ["135M, 1 x 1024", SHAPE_135M, { ...fact, context: 1024 }, 829.3],
  ["135M, 4 x 512, gradient checkpointing", SHAPE_135M, { ...fact, batch: 4, gradientCheckpointing: true }, 720.4],
  [
    "1.1B in q4, 1 x 256, gradient checkpointing",
    SHAPE_1B,
    { ...fact, precision: "q4" as const, context: 256, gradientCheckpointing: true },
    1045,
  ],
  ["135M, 1 x 512, above a frozen rank 160", SHAPE_135M, { ...fact, frozenRank: 160 }, 759],
  ["135M, 1 x 512, above a frozen rank 480", SHAPE_135M, { ...fact, frozenRank: 480 }, 1141],
  ["tiny, 8 x 256, rank 16", TINY, { ...fact, batch: 8, context: 256, rank: 16 }, 264.8],
])("%s is within 15 %% of the measured peak", (_, base, { rank, frozenRank, ...use }, measuredMib) => {
  const [parameters, frozenParameters] = [parametersOf(base, rank), parametersOf(base, frozenRank)]
  const ratio = memoryBytes(base, { ...use, lowestLayer: 0, parameters, frozenParameters }) / (measuredMib * MIB)
  expect(ratio).toBeGreaterThan(0.85)
  expect(ratio).toBeLessThan(1.15)
})

test("blocks below the lowest adapter keep nothing for the gradient", () => {
  // one block keeps, per token, x and middle (8 x 576), q and attended (4 x 576), k and v (4 x 192), gate and up
  // (4 x 1536) = 13,824 bytes; ten blocks at 512 tokens
  const kept = { parameters: 0, frozenParameters: 0 }
  const use = { precision: "q8", batch: 1, context: 512, gradientCheckpointing: false, ...kept } as const
  const saved =
    memoryBytes(SHAPE_135M, { ...use, lowestLayer: 0 }) - memoryBytes(SHAPE_135M, { ...use, lowestLayer: 10 })
  expect(saved).toBe(10 * 512 * 13_824)
})
