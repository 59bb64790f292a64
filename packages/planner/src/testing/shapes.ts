import type { BaseShape, DeviceProfile, PlanningTerms } from "../api.js"

/** A Llama of any size with all seven linears, named as transformers names them. */
export function llamaShape(shape: Omit<BaseShape, "modules">): BaseShape {
  const { hidden, heads, kvHeads, headDim, ffn, layers } = shape
  const [wide, narrow] = [heads * headDim, kvHeads * headDim]
  const linears = [
    ["self_attn.q_proj", wide, hidden],
    ["self_attn.k_proj", narrow, hidden],
    ["self_attn.v_proj", narrow, hidden],
    ["self_attn.o_proj", hidden, wide],
    ["mlp.gate_proj", ffn, hidden],
    ["mlp.up_proj", ffn, hidden],
    ["mlp.down_proj", hidden, ffn],
  ] as const
  const modules = Array.from({ length: layers }, (_, layer) =>
    linears.map(([name, outFeatures, inFeatures]) => ({
      name: `model.layers.${layer}.${name}`,
      outFeatures,
      inFeatures,
    })),
  )
  return { ...shape, modules: modules.flat() }
}

/** SmolLM2-135M; bytes of q8 as bench/results has them, the others by their bits per weight. */
export const SHAPE_135M = llamaShape({
  ...{ hidden: 576, layers: 30, heads: 9, kvHeads: 3, headDim: 64, ffn: 1536, vocabulary: 49152 },
  bytes: { f32: 538_000_000, bf16: 269_000_000, q8: 142_900_000, q4: 84_100_000, nf4: 75_700_000 },
})

/** TinyLlama-1.1B. */
export const SHAPE_1B = llamaShape({
  ...{ hidden: 2048, layers: 22, heads: 32, kvHeads: 4, headDim: 64, ffn: 5632, vocabulary: 32000 },
  bytes: { f32: 4.4e9, bf16: 2.2e9, q8: 1.169e9, q4: 687_400_000, nf4: 618_700_000 },
})

/** A client that nothing limits. */
export const UNLIMITED: DeviceProfile = {
  ...{ memoryBytes: 0, tokensPerSecond: 0, uploadBytesPerSecond: 0, downloadBytesPerSecond: 0 },
  ...{ uploadBytesMax: 0, rankMax: 0, precision: "", timeCorrection: 1 },
}

export const TERMS: PlanningTerms = {
  ...{ precisions: ["q8", "q4"], ranks: [4, 8, 16, 32, 64], steps: 20, batch: 4, context: 512 },
  ...{ deadlineMs: 600_000, downloadBytes: 5e6, frozenParameters: 0 },
}

/** The same score for every module. */
export function uniformScores(base: BaseShape): ReadonlyMap<string, number> {
  return new Map(base.modules.map(({ name }) => [name, 1]))
}
