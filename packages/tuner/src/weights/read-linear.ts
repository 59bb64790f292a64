import { frozenArrays, frozenOf, KernelError, Quantizer, requantize } from "@lamina/kernels"
import type { FrozenArray, FrozenValues, FrozenWeight, WeightFormat } from "@lamina/kernels"
import { LaminaError } from "@lamina/protocol/errors"

import type { BasePrecision, ModuleShape } from "../api.js"
import { BLOCK_TYPES, blockReader } from "../gguf/block-rows.js"
import { decodeFloats, readFloats, transposedFloats } from "./float-tensor.js"
import type { MatrixShape } from "./module-shapes.js"
import { formatOf } from "./quantized-format.js"
import type { Quantization, QuantizedFormat } from "./quantized-format.js"
import type { TensorStore } from "./safetensors-file.js"

/**
 * The tensors of one linear (M,N) and what each must be: `X.weight`, and beside it the scales of a quantized one.
 * With `blocks` it may have any of ggml's types. MODEL_CONFIG for a shape that the format cannot have.
 */
export function linearTensors(
  shape: MatrixShape,
  { quantization, blocks }: { quantization: QuantizedFormat | undefined; blocks: boolean },
): ExpectedTensor[] {
  const { outFeatures: rows, inFeatures: cols } = shape
  const name = `${shape.name}.weight`
  const types = ["F32", "BF16", "F16", ...(blocks ? BLOCK_TYPES : [])]
  const plain = isTransposed(shape, blocks) ? [cols, rows] : [rows, cols]
  if (quantization === undefined) return [{ name, shape: plain, dtypes: types }]
  return arraysOf(shape, quantization).map((array) => ({
    name: tensorName(shape.name, array.name),
    shape: array.shape,
    dtypes: [array.element],
  }))
}

/** Only plain safetensors hold a linear the other way round; `blocks`: the file is a GGUF. */
function isTransposed(shape: MatrixShape, blocks: boolean): boolean {
  return shape.transposed && !blocks
}

/** `frozenArrays`; MODEL_CONFIG for a shape that the format cannot have. */
export function arraysOf(shape: ModuleShape, format: WeightFormat): readonly FrozenArray[] {
  try {
    return frozenArrays(format, shape.outFeatures, shape.inFeatures)
  } catch (cause) {
    throw new LaminaError("MODEL_CONFIG", `${shape.name}.weight: ${(cause as Error).message}`, { cause })
  }
}

/** The tensor that holds one array of a linear: codes in `X.weight`, the others in `X.weight.ARRAY`. */
export function tensorName(linear: string, array: FrozenArray["name"]): string {
  return array === "codes" ? `${linear}.weight` : `${linear}.weight.${array}`
}

/** A tensor a checkpoint must hold. */
export interface ExpectedTensor {
  readonly name: string
  readonly shape: readonly number[]
  readonly dtypes: readonly string[]
}

/**
 * One linear in memory, in the format `precision` asks for; `stored` keeps it as it is. At most the stored tensor and
 * the result are in memory at once. Assumes the tensors are there as `linearTensors` says. WEIGHTS_MALFORMED for values
 * that are not finite or cannot be quantized; FILE_UNREADABLE.
 */
export async function readLinear(
  store: TensorStore,
  shape: MatrixShape,
  options: { quantization: QuantizedFormat | undefined; precision: BasePrecision },
): Promise<FrozenWeight> {
  const { quantization, precision } = options
  const name = `${shape.name}.weight`
  try {
    const stored = await readStored(store, shape, quantization)
    if (stored === undefined) return await readFloatLinear(store, shape, precision)
    return precision === "stored" || precision === stored.format ? stored : requantize(stored, precision)
  } catch (cause) {
    if (!(cause instanceof KernelError)) throw cause
    throw new LaminaError("WEIGHTS_MALFORMED", `${store.tensors.get(name)?.file}: ${name}: ${cause.message}`, { cause })
  }
}

/** The format in which a linear lies in the file, which must hold it. */
export function storedFormat(store: TensorStore, linear: string, quantization: Quantization | undefined): WeightFormat {
  const dtype = store.tensors.get(`${linear}.weight`)?.dtype ?? ""
  return formatOf(quantization, linear) ?? blockReader(dtype)?.format ?? FLOATS[dtype as keyof typeof FLOATS]
}

/** A linear that lies quantized in the file; undefined for a plain one. */
async function readStored(
  store: TensorStore,
  shape: ModuleShape,
  quantization: QuantizedFormat | undefined,
): Promise<FrozenWeight | undefined> {
  if (quantization !== undefined) return readQuantized(store, shape, quantization)
  const name = `${shape.name}.weight`
  return BLOCK_TYPES.includes(store.tensors.get(name)?.dtype ?? "") ? store.readFrozen?.(name) : undefined
}

async function readFloatLinear(
  store: TensorStore,
  shape: MatrixShape,
  precision: BasePrecision,
): Promise<FrozenWeight> {
  const { outFeatures: rows, inFeatures: cols } = shape
  const asStored = await readFloats(store, `${shape.name}.weight`)
  const turn = isTransposed(shape, store.readFrozen !== undefined)
  const tensor = turn ? transposedFloats(asStored, cols, rows) : asStored
  const stored = FLOATS[tensor.dtype]
  const format = precision === "stored" ? stored : precision
  if (format === stored) return frozenOf({ format, rows, cols }, () => tensor.values)
  const quantizer = new Quantizer(format, rows, cols)
  const values = new Float32Array(cols)
  for (let row = 0; row < rows; row++) {
    decodeFloats(tensor, row * cols, values)
    quantizer.row(row, values)
  }
  return quantizer.finish()
}

const FLOATS = { F32: "f32", BF16: "bf16", F16: "f16" } as const

async function readQuantized(store: TensorStore, shape: ModuleShape, format: QuantizedFormat): Promise<FrozenWeight> {
  const { outFeatures: rows, inFeatures: cols } = shape
  const values = new Map<string, FrozenValues>()
  for (const { name, element } of arraysOf(shape, format)) {
    const tensor = tensorName(shape.name, name)
    if (element === "I8" || element === "U8") {
      const bytes = await store.read(tensor)
      values.set(name, element === "U8" ? bytes : new Int8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength))
    } else values.set(name, (await readFloats(store, tensor)).values)
  }
  return frozenOf({ format, rows, cols }, ({ name }) => values.get(name)!)
}
