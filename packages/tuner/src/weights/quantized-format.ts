import type { WeightFormat } from "@lamina/kernels"

/** Formats that `saveBase` writes in arrays of their own; f32, bf16 and f16 are plain tensors. */
export type QuantizedFormat = Exclude<WeightFormat, "f32" | "bf16" | "f16">

/** `quantization_config.block` of each: the columns that share one scale. */
export const QUANTIZED_BLOCKS: Readonly<Record<QuantizedFormat, number>> = {
  q8: 32,
  q4: 32,
  q5: 32,
  q4k: 32,
  q5k: 32,
  q6k: 16,
  nf4: 64,
}

/** Whether a word names such a format. */
export function isQuantizedFormat(word: unknown): word is QuantizedFormat {
  return typeof word === "string" && Object.hasOwn(QUANTIZED_BLOCKS, word)
}
