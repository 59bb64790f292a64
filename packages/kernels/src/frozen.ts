import { expectShape, KernelError } from "./errors.js"

/**
 * How weights that are never trained are held, outside tfjs (it has no int8, f16 or bf16 dtype). They stay packed in
 * memory, in training too. All arrays may lie on SharedArrayBuffers, so that worker threads and simulated clients of a
 * process share one copy.
 */
export type WeightFormat = "f32" | "bf16" | "f16" | "q8" | "q4" | "q5" | "q4k" | "q5k" | "q6k" | "nf4"

/** Columns that share one scale of q8, q4 and q5. */
export const QUANT_BLOCK = 32
/** Columns that share one super scale of q4k, q5k and q6k. */
export const SUPER_BLOCK = 256
/** Columns that share one scale of nf4, and how many of those scales share one super scale. */
export const NF4_BLOCK = 64
export const NF4_GROUP = 256

interface Matrix<Format extends WeightFormat, Codes> {
  readonly format: Format
  readonly rows: number
  readonly cols: number
  readonly codes: Codes
}

interface Superblocks<Scales> {
  readonly scales: Scales
  readonly superScales: Uint16Array
}

interface SuperblocksWithMins extends Superblocks<Uint8Array> {
  readonly mins: Uint8Array
  readonly superMins: Uint16Array
}

/**
 * W (M,N) of y = W x, M = rows = out features, N = cols = in features. With nb = ceil(N / 32) blocks per row; "f16"
 * after an array says that it holds the bits of such numbers:
 * - f32:  codes Float32Array (M,N)
 * - bf16: codes Uint16Array (M,N), the upper halves of the f32 bits
 * - f16:  codes Uint16Array (M,N) f16
 * - q8:   codes Int8Array (M,N), scales (M,nb) f16; w = code * scale. GGUF's Q8_0 and Q5_0.
 * - q4:   codes Uint8Array (M,nb*16), scales and mins (M,nb) f16; w = code * scale + min with code 0..15. Byte j
 *         (0..15) of a block holds column j in its low and column j + 16 in its high nibble; columns past N in the
 *         last block are ignored. GGUF's Q4_1, and Q4_0 with min = -8 scale.
 * - q5:   codes Uint8Array (M,N) 0..31, scales and mins (M,nb) f16; w = code * scale + min. GGUF's Q5_1.
 * - q4k:  codes as q4; scales and mins Uint8Array (M,nb) 0..63, superScales and superMins (M,N/256) f16;
 *         w = (superScale * scale) * code - superMin * min. N is a multiple of 256. GGUF's Q4_K.
 * - q5k:  as q4k, but codes Uint8Array (M,N) 0..31. GGUF's Q5_K.
 * - q6k:  codes Int8Array (M,N) -32..31, scales Int8Array (M,N/16), superScales (M,N/256) f16;
 *         w = (superScale * scale) * code. N is a multiple of 256. GGUF's Q6_K.
 * - nf4:  with nb = ceil(N / 64): codes Uint8Array (M,nb*32), nibbles in the order of q4 (per 32 columns); scales
 *         Int8Array (M,nb), superScales Float32Array (ceil(M nb / 256)), offset Float32Array (1); w = NF4_LEVELS[code]
 *         * (superScale * scale + offset), scale i of the whole matrix under superScale floor(i / 256). NormalFloat
 *         with double quantization, Dettmers et al. 2023 (arXiv:2305.14314), section 3; the second level is int8 with
 *         a linear scale where the paper has an 8-bit float, which is as large and has the smaller largest error.
 */
export type FrozenWeight =
  | Matrix<"f32", Float32Array>
  | Matrix<"bf16", Uint16Array>
  | Matrix<"f16", Uint16Array>
  | (Matrix<"q8", Int8Array> & { readonly scales: Uint16Array })
  | (Matrix<"q4", Uint8Array> & { readonly scales: Uint16Array; readonly mins: Uint16Array })
  | (Matrix<"q5", Uint8Array> & { readonly scales: Uint16Array; readonly mins: Uint16Array })
  | (Matrix<"q4k", Uint8Array> & SuperblocksWithMins)
  | (Matrix<"q5k", Uint8Array> & SuperblocksWithMins)
  | (Matrix<"q6k", Int8Array> & Superblocks<Int8Array>)
  | (Matrix<"nf4", Uint8Array> & {
      readonly scales: Int8Array
      readonly superScales: Float32Array
      readonly offset: Float32Array
    })

/** W in one given format. */
export type FrozenOf<Format extends WeightFormat> = Extract<FrozenWeight, { readonly format: Format }>

/** A frozen low-rank term B_G A_G (scale 1) on top of W: what all rounds so far produced. a (R,N), b (M,R). */
export interface FrozenFactors {
  readonly rank: number
  readonly a: Float32Array
  readonly b: Float32Array
}

/** What the elements of an array mean; half floats lie in Uint16Arrays. The names are those of safetensors. */
export type FrozenElement = "F32" | "BF16" | "F16" | "I8" | "U8"

/** One array of a FrozenWeight: its key there, its elements and its shape. */
export interface FrozenArray {
  readonly name: "codes" | "scales" | "mins" | "superScales" | "superMins" | "offset"
  readonly element: FrozenElement
  readonly shape: readonly number[]
}

export type FrozenValues = Float32Array | Uint16Array | Int8Array | Uint8Array

interface ValuesType {
  new (buffer: SharedArrayBuffer): FrozenValues
  readonly name: string
  readonly BYTES_PER_ELEMENT: number
}

const ELEMENTS: Readonly<Record<FrozenElement, ValuesType>> = {
  F32: Float32Array,
  BF16: Uint16Array,
  F16: Uint16Array,
  I8: Int8Array,
  U8: Uint8Array,
}

/**
 * The arrays that a W (M,N) of `format` has, codes first. Throws KERNEL_SHAPE unless M and N are whole and at least 1,
 * and N is a multiple of 256 where the format calls for it.
 */
export function frozenArrays(format: WeightFormat, rows: number, cols: number): readonly FrozenArray[] {
  if (!Number.isSafeInteger(rows) || !Number.isSafeInteger(cols) || rows < 1 || cols < 1)
    throw new KernelError("KERNEL_SHAPE", `${format}: expected rows and cols of at least 1, got (${rows}, ${cols})`)
  const superblocks = cols / SUPER_BLOCK
  if (format.endsWith("k") && !Number.isInteger(superblocks))
    throw new KernelError("KERNEL_SHAPE", `${format}: expected cols in multiples of ${SUPER_BLOCK}, got ${cols}`)
  const array = (name: FrozenArray["name"], element: FrozenElement, ...shape: number[]): FrozenArray => ({
    name,
    element,
    shape,
  })
  const perRow = (name: FrozenArray["name"], element: FrozenElement, length: number): FrozenArray =>
    array(name, element, rows, length)
  const blocks = blocksPerRow(cols)
  const nf4Blocks = Math.ceil(cols / NF4_BLOCK)
  const halves = [perRow("scales", "F16", blocks), perRow("mins", "F16", blocks)]
  const twoLevels = [
    perRow("scales", "U8", blocks),
    perRow("mins", "U8", blocks),
    perRow("superScales", "F16", superblocks),
    perRow("superMins", "F16", superblocks),
  ]
  switch (format) {
    case "f32":
      return [perRow("codes", "F32", cols)]
    case "bf16":
      return [perRow("codes", "BF16", cols)]
    case "f16":
      return [perRow("codes", "F16", cols)]
    case "q8":
      return [perRow("codes", "I8", cols), halves[0]!]
    case "q4":
      return [perRow("codes", "U8", blocks * 16), ...halves]
    case "q5":
      return [perRow("codes", "U8", cols), ...halves]
    case "q4k":
      return [perRow("codes", "U8", blocks * 16), ...twoLevels]
    case "q5k":
      return [perRow("codes", "U8", cols), ...twoLevels]
    case "q6k":
      return [perRow("codes", "I8", cols), perRow("scales", "I8", cols / 16), perRow("superScales", "F16", superblocks)]
    case "nf4":
      return [
        perRow("codes", "U8", nf4Blocks * 32),
        perRow("scales", "I8", nf4Blocks),
        array("superScales", "F32", Math.ceil((rows * nf4Blocks) / NF4_GROUP)),
        array("offset", "F32", 1),
      ]
  }
}

/**
 * A W (M,N) of `format` from its arrays, as `make` gives them for each of `frozenArrays`. Throws KERNEL_SHAPE as
 * `frozenArrays` and `checkFrozen` do.
 */
export function frozenOf(
  { format, rows, cols }: { readonly format: WeightFormat; readonly rows: number; readonly cols: number },
  make: (array: FrozenArray) => FrozenValues,
): FrozenWeight {
  const arrays = frozenArrays(format, rows, cols).map((array) => [array.name, make(array)] as const)
  const weight = { format, rows, cols, ...Object.fromEntries(arrays) } as FrozenWeight
  checkFrozen(format, weight)
  return weight
}

/** An all-zero W (M,N) of a format, every array on its own SharedArrayBuffer; a file reader fills it. */
export function allocateFrozen<Format extends WeightFormat>(
  format: Format,
  rows: number,
  cols: number,
): FrozenOf<Format> {
  const weight = frozenOf({ format, rows, cols }, ({ element, shape }) => {
    const length = shape.reduce((product, size) => product * size, 1)
    const type = ELEMENTS[element]
    return new type(new SharedArrayBuffer(length * type.BYTES_PER_ELEMENT))
  })
  return weight as FrozenOf<Format>
}

/** Throws KERNEL_SHAPE unless every array of `weight` has the type and length its format, rows and cols say. */
export function checkFrozen(what: string, weight: FrozenWeight): void {
  for (const { name, element, shape } of frozenArrays(weight.format, weight.rows, weight.cols)) {
    const values = valuesOf(weight, name)
    const type = ELEMENTS[element]
    if (values?.[Symbol.toStringTag] !== type.name)
      throw new KernelError(
        "KERNEL_SHAPE",
        `${what}.${name} (${weight.format}): expected a ${type.name}, got ${values?.[Symbol.toStringTag] ?? "nothing"}`,
      )
    const length = shape.reduce((product, size) => product * size, 1)
    expectShape(`${what}.${name} (${weight.format})`, length, values.length)
  }
}

/** The array of `weight` under `name`; undefined where its format has none. */
export function valuesOf(weight: FrozenWeight, name: FrozenArray["name"]): FrozenValues | undefined {
  return (weight as Partial<Record<FrozenArray["name"], FrozenValues>>)[name]
}

/** ceil(cols / 32): blocks of one row, the last one possibly short. */
export function blocksPerRow(cols: number): number {
  return Math.ceil(cols / QUANT_BLOCK)
}

/** Bytes the packed weight takes in memory. */
export function frozenBytes(weight: FrozenWeight): number {
  return frozenArrays(weight.format, weight.rows, weight.cols).reduce(
    (bytes, { name }) => bytes + (valuesOf(weight, name)?.byteLength ?? 0),
    0,
  )
}
