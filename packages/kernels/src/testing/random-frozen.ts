import { encodeF16 } from "../float-bits.js"
import { allocateFrozen, frozenArrays, valuesOf } from "../frozen.js"
import type { FrozenWeight, WeightFormat } from "../frozen.js"
import { QUANTIZED_TO, quantize } from "../quantize.js"
import type { TargetFormat } from "../quantize.js"
import { seededRandom } from "./random.js"

/** Every format, and columns it can have that are odd where they may be. */
export const FORMATS: readonly WeightFormat[] = ["f32", "bf16", "f16", "q8", "q4", "q5", "q4k", "q5k", "q6k", "nf4"]

/** `cols`, or the next multiple of 256 where the format needs it. */
export function colsFor(format: WeightFormat, cols: number): number {
  return format.endsWith("k") ? Math.ceil(cols / 256) * 256 : cols
}

/**
 * A seeded random W with weights of about 1 in size: quantized where a format can be quantized to, else random codes
 * and scales, minima that put the values about zero.
 */
export function randomFrozen(format: WeightFormat, rows: number, cols: number, seed: number): FrozenWeight {
  const random = seededRandom(seed)
  if ((QUANTIZED_TO as readonly string[]).includes(format))
    return quantize({ rows, cols, values: random.floats(rows * cols) }, format as TargetFormat)
  const weight = allocateFrozen(format, rows, cols)
  const uniform = (low: number, high: number): number => low + ((random() + 1) / 2) * (high - low)
  const whole = (low: number, high: number): number => Math.floor(uniform(low, high + 1))
  const fill: Record<string, () => number> = {
    codes: format === "q6k" ? () => whole(-32, 31) : () => whole(0, format === "q4k" ? 255 : 31),
    // A code reaches 31 (q4k: 15), a scale of two levels 63.
    scales: format === "q5" ? () => encodeF16(uniform(0.04, 0.06)) : () => whole(format === "q6k" ? -63 : 0, 63),
    mins: format === "q5" ? () => encodeF16(uniform(-1, -0.6)) : () => whole(0, 63),
    superScales: () => encodeF16(uniform(0.5, 1) / 63 / (format === "q4k" ? 15 : 31)),
    superMins: () => encodeF16(uniform(0.5, 1) / 63),
  }
  for (const { name } of frozenArrays(format, rows, cols)) {
    const values = valuesOf(weight, name)!
    for (let i = 0; i < values.length; i++) values[i] = fill[name]!()
  }
  return weight
}
