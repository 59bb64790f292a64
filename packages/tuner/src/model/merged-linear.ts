import { allocateFrozen, dequantizeRow, encodeBf16, encodeF16 } from "@lamina/kernels"
import type { FrozenFactors, FrozenOf, FrozenWeight } from "@lamina/kernels"
import { LaminaError } from "@lamina/protocol/errors"

/** Floats that base and adapter are merged to. */
export type MergedType = "f32" | "f16" | "bf16"

/**
 * W + B A of one linear (M,N), its scale in B (`foldAdapters`): dequantized, added in f32 and rounded once to `type`,
 * in shared memory of its own. WEIGHTS_MALFORMED where a value does not fit 16 bits.
 */
export function mergedLinear(
  name: string,
  { weight, term, type }: { weight: FrozenWeight; term: FrozenFactors | undefined; type: MergedType },
): FrozenOf<MergedType> {
  const { rows, cols } = weight
  const whole = allocateFrozen(type, rows, cols)
  const values = new Float32Array(cols)
  for (let row = 0; row < rows; row++) {
    dequantizeRow(weight, row, values)
    if (term !== undefined) addTerm(values, term, row)
    whole.codes.set(encodeFloats(`${name}.weight`, values, type), row * cols)
  }
  return whole
}

/** Row `row` of B A, its scale in B, added in f32. */
function addTerm(values: Float32Array, { rank, a, b }: FrozenFactors, row: number): void {
  const cols = values.length
  const sum = new Float32Array(cols)
  for (let r = 0; r < rank; r++) {
    const factor = b[row * rank + r] ?? 0
    const start = r * cols
    for (let col = 0; col < cols; col++) sum[col]! += factor * a[start + col]!
  }
  for (let col = 0; col < cols; col++) values[col]! += sum[col]!
}

/** `values` as f32, or as bit patterns of 16 bits, rounded once. WEIGHTS_MALFORMED where one does not fit. */
export function encodeFloats(name: string, values: Float32Array, type: MergedType): Float32Array | Uint16Array {
  if (type === "f32") return values
  const halves = Uint16Array.from(values, type === "bf16" ? encodeBf16 : encodeF16)
  const exponent = type === "bf16" ? 0x7f80 : 0x7c00 // all exponent bits set: infinity or NaN
  const bad = halves.findIndex((half) => (half & exponent) === exponent)
  if (bad < 0) return halves
  throw new LaminaError("WEIGHTS_MALFORMED", `${name}: expected values that fit ${type}, got ${values[bad]!}`, {
    hint: type === "bf16" ? "write it as f32" : "write it as bf16 or f32",
  })
}
