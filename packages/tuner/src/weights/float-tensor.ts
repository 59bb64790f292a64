import { decodeBf16, decodeF16 } from "@lamina/kernels"
import { LaminaError } from "@lamina/protocol/errors"

import type { TensorStore } from "./safetensors-file.js"

/** A float tensor as stored: f32 values, or 16-bit patterns. */
type FloatTensor =
  | { readonly dtype: "F32"; readonly values: Float32Array<SharedArrayBuffer> }
  | { readonly dtype: "BF16" | "F16"; readonly values: Uint16Array<SharedArrayBuffer> }

/** Reads a tensor that must be F32, BF16 or F16 and finite. WEIGHTS_DTYPE, WEIGHTS_MALFORMED, FILE_UNREADABLE. */
export async function readFloats(store: TensorStore, name: string): Promise<FloatTensor> {
  const info = store.tensors.get(name)
  const dtype = info?.dtype
  if (dtype !== "F32" && dtype !== "BF16" && dtype !== "F16")
    throw new LaminaError(
      "WEIGHTS_DTYPE",
      `${info?.file ?? "weights"}: ${name}: expected F32, BF16 or F16, got ${dtype ?? "nothing"}`,
    )
  const { buffer, byteOffset, byteLength } = await store.read(name)
  const tensor: FloatTensor =
    dtype === "F32"
      ? { dtype, values: new Float32Array(buffer, byteOffset, byteLength / 4) }
      : { dtype, values: new Uint16Array(buffer, byteOffset, byteLength / 2) }
  const bad = firstNotFinite(tensor)
  if (bad >= 0)
    throw new LaminaError(
      "WEIGHTS_MALFORMED",
      `${info?.file}: ${name}: expected finite values, got NaN or Infinity at element ${bad}`,
    )
  return tensor
}

/** Index of the first NaN or infinity, -1 when there is none. */
export function firstNotFinite({ dtype, values }: FloatTensor): number {
  // loops, not findIndex: a callback per element takes seconds for a hundred million of them
  if (dtype === "F32") {
    for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return i
    return -1
  }
  const exponent = dtype === "BF16" ? 0x7f80 : 0x7c00 // all exponent bits set: infinity or NaN
  for (let i = 0; i < values.length; i++) if (((values[i] as number) & exponent) === exponent) return i
  return -1
}

/** Elements `start`..`start + out.length - 1` as f32 into `out`; exact. */
export function decodeFloats({ dtype, values }: FloatTensor, start: number, out: Float32Array): void {
  if (dtype === "F32") out.set(values.subarray(start, start + out.length))
  else if (dtype === "BF16") for (let i = 0; i < out.length; i++) out[i] = decodeBf16(values[start + i] as number)
  else for (let i = 0; i < out.length; i++) out[i] = decodeF16(values[start + i] as number)
}

/** A matrix (rows, cols) as (cols, rows), in memory of its own. */
export function transposedFloats(tensor: FloatTensor, rows: number, cols: number): FloatTensor {
  if (tensor.dtype === "F32") {
    const values = new Float32Array(new SharedArrayBuffer(tensor.values.byteLength))
    transpose(tensor.values, values, [rows, cols])
    return { dtype: tensor.dtype, values }
  }
  const values = new Uint16Array(new SharedArrayBuffer(tensor.values.byteLength))
  transpose(tensor.values, values, [rows, cols])
  return { dtype: tensor.dtype, values }
}

/** (rows, cols) of `from` as (cols, rows) into `to`. */
export function transpose<Values extends Float32Array | Uint16Array>(
  from: Values,
  to: Values,
  [rows, cols]: readonly [number, number],
): void {
  for (let row = 0; row < rows; row++)
    for (let col = 0; col < cols; col++) to[col * rows + row] = from[row * cols + col] as number
}
