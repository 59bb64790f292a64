/**
 * Weights that are never trained, held outside tfjs (it has no int8, f16 or bf16 dtype). They stay packed in memory, in training too.
 * All arrays may lie on SharedArrayBuffers, so that worker threads and simulated clients of a process share one copy.
 */
export type WeightFormat = "f32" | "bf16" | "q8" | "q4"

/** Columns that share one scale. */
export const QUANT_BLOCK = 32

/**
 * W (M,N) of y = W x, M = rows = out features, N = cols = in features. With nb = ceil(N / 32) blocks per row:
 * - f32:  codes Float32Array (M,N)
 * - bf16: codes Uint16Array (M,N), the upper halves of the f32 bits
 * - q8:   codes Int8Array (M,N), scales Uint16Array (M,nb) as f16 bits; w = code * scale
 * - q4:   codes Uint8Array (M,nb*16), scales and mins Uint16Array (M,nb) as f16 bits; w = code * scale + min with code 0..15.
 *         Byte j (0..15) of a block holds column j in its low and column j + 16 in its high nibble (as GGUF's Q4_1 does); columns
 *         past N in the last block are ignored.
 */
export type FrozenWeight =
  | { readonly format: "f32"; readonly rows: number; readonly cols: number; readonly codes: Float32Array }
  | { readonly format: "bf16"; readonly rows: number; readonly cols: number; readonly codes: Uint16Array }
  | { readonly format: "q8"; readonly rows: number; readonly cols: number; readonly codes: Int8Array; readonly scales: Uint16Array }
  | { readonly format: "q4"; readonly rows: number; readonly cols: number; readonly codes: Uint8Array; readonly scales: Uint16Array; readonly mins: Uint16Array }

/** A frozen low-rank term B_G A_G (scale 1) on top of W: what all rounds so far produced. a (R,N), b (M,R). */
export interface FrozenFactors {
  readonly rank: number
  readonly a: Float32Array
  readonly b: Float32Array
}
