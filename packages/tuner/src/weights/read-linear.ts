import { allocateFrozen, blocksPerRow, KernelError, quantizeRow, requantize } from "@lamina/kernels"
import type { FrozenWeight, WeightFormat } from "@lamina/kernels"
import { LaminaError } from "@lamina/protocol/errors"

import type { BasePrecision, ModuleShape } from "../api.js"
import { decodeFloats, firstNotFinite, readFloats } from "./float-tensor.js"
import type { TensorStore } from "./safetensors-file.js"
import type { TensorType } from "./safetensors-header.js"

/** The tensors of one linear (M,N) and what each must be. nb = ceil(N / 32). */
export function linearTensors(shape: ModuleShape, quantization: "q8" | "q4" | undefined): ExpectedTensor[] {
  const { outFeatures: rows, inFeatures: cols } = shape
  const name = `${shape.name}.weight`
  if (quantization === undefined) return [{ name, shape: [rows, cols], dtypes: ["F32", "BF16", "F16"] }]
  const halves = (part: string): ExpectedTensor => ({
    name: `${name}.${part}`,
    shape: [rows, blocksPerRow(cols)],
    dtypes: ["F16"],
  })
  if (quantization === "q8") return [{ name, shape: [rows, cols], dtypes: ["I8"] }, halves("scales")]
  return [{ name, shape: [rows, blocksPerRow(cols) * 16], dtypes: ["U8"] }, halves("scales"), halves("mins")]
}

/** A tensor a checkpoint must hold. */
export interface ExpectedTensor {
  readonly name: string
  readonly shape: readonly number[]
  readonly dtypes: readonly TensorType[]
}

/**
 * One linear in memory, in the format `precision` asks for; `stored` keeps f32, bf16, q8 and q4 as they are and makes
 * f16 f32 (exact). At most the stored tensor and the result are in memory at once. Assumes the tensors are there as
 * `linearTensors` says. WEIGHTS_MALFORMED for values that are not finite or cannot be quantized; FILE_UNREADABLE.
 */
export async function readLinear(
  store: TensorStore,
  shape: ModuleShape,
  options: { quantization: "q8" | "q4" | undefined; precision: BasePrecision },
): Promise<FrozenWeight> {
  const { quantization, precision } = options
  const name = `${shape.name}.weight`
  try {
    if (quantization === undefined) return await readFloatLinear(store, shape, precision)
    const stored = await readQuantized(store, shape, quantization)
    return precision === "stored" || precision === stored.format ? stored : requantize(stored, precision)
  } catch (cause) {
    if (!(cause instanceof KernelError)) throw cause
    throw new LaminaError("WEIGHTS_MALFORMED", `${store.tensors.get(name)?.file}: ${name}: ${cause.message}`, { cause })
  }
}

async function readFloatLinear(
  store: TensorStore,
  shape: ModuleShape,
  precision: BasePrecision,
): Promise<FrozenWeight> {
  const { outFeatures: rows, inFeatures: cols } = shape
  const tensor = await readFloats(store, `${shape.name}.weight`)
  const stored: WeightFormat = tensor.dtype === "BF16" ? "bf16" : "f32"
  const format = precision === "stored" ? stored : precision
  if (tensor.dtype === "F32" && format === "f32") return { format, rows, cols, codes: tensor.values }
  if (tensor.dtype === "BF16" && format === "bf16") return { format, rows, cols, codes: tensor.values }
  const target = allocateFrozen(format, rows, cols)
  const values = new Float32Array(cols)
  for (let row = 0; row < rows; row++) {
    decodeFloats(tensor, row * cols, values)
    quantizeRow(target, row, values)
  }
  return target
}

async function readQuantized(store: TensorStore, shape: ModuleShape, format: "q8" | "q4"): Promise<FrozenWeight> {
  const { name, outFeatures: rows, inFeatures: cols } = shape
  const halves = async (part: string): Promise<Uint16Array> => {
    const tensor = `${name}.weight.${part}`
    const values = new Uint16Array((await store.read(tensor)).buffer)
    const bad = firstNotFinite({ dtype: "F16", values })
    if (bad < 0) return values
    throw new LaminaError(
      "WEIGHTS_MALFORMED",
      `${store.tensors.get(tensor)?.file}: ${tensor}: expected finite values, got NaN or Infinity at element ${bad}`,
    )
  }
  const { buffer } = await store.read(`${name}.weight`)
  const scales = await halves("scales")
  if (format === "q8") return { format, rows, cols, codes: new Int8Array(buffer), scales }
  return { format, rows, cols, codes: new Uint8Array(buffer), scales, mins: await halves("mins") }
}
