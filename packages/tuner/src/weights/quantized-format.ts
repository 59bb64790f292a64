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

/** How the linears of a checkpoint folder are stored: all in one format but for some. */
export interface Quantization {
  readonly format: QuantizedFormat
  /** Linear -> its format; undefined for a plain tensor. */
  readonly exceptions: ReadonlyMap<string, QuantizedFormat | undefined>
}

/** The format that a linear is stored in; undefined for a plain tensor. */
export function formatOf(quantization: Quantization | undefined, linear: string): QuantizedFormat | undefined {
  if (quantization?.exceptions.has(linear)) return quantization.exceptions.get(linear)
  return quantization?.format
}

/** What stands for a plain tensor among `quantization_config.exceptions`; its dtype says which kind. */
export const PLAIN = "plain"

/** `quantization_config` for linears in these formats; undefined when none is quantized. */
export function quantizationConfig(formats: ReadonlyMap<string, WeightFormat>): Record<string, unknown> | undefined {
  const counts = new Map<QuantizedFormat, number>()
  for (const format of formats.values())
    if (isQuantizedFormat(format)) counts.set(format, (counts.get(format) ?? 0) + 1)
  const [most] = [...counts].sort(([, left], [, right]) => right - left)
  if (most === undefined) return undefined
  const [format] = most
  const others = [...formats].filter(([, other]) => other !== format)
  const exceptions = others.map(([name, other]) => [name, isQuantizedFormat(other) ? other : PLAIN])
  return {
    ...{ quant_method: "lamina", format, block: QUANTIZED_BLOCKS[format] },
    ...(exceptions.length === 0 ? {} : { exceptions: Object.fromEntries(exceptions) }),
  }
}
