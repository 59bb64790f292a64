import { join } from "node:path"

import { frozenBytes, KernelError, requantize, squaredError, valuesOf } from "@lamina/kernels"
import type { FrozenValues, FrozenWeight, TargetFormat, WeightFormat } from "@lamina/kernels"
import { LaminaError } from "@lamina/protocol/errors"

import { makeEmptyFolder } from "../files/make-folder.js"
import { writeAtomically } from "../files/write-atomically.js"
import { familyOf } from "../model/families/families.js"
import { writeTokenizer } from "../tokenizer/write-tokenizer.js"
import { checkTensors, isRedundant } from "./load-base.js"
import { parseModelConfig } from "./model-config.js"
import type { CheckpointConfig } from "./model-config.js"
import { openModelFiles } from "./model-files.js"
import { linearShapes } from "./module-shapes.js"
import type { MatrixShape } from "./module-shapes.js"
import { prefixedStore } from "./prefixed-store.js"
import { formatOf, quantizationConfig } from "./quantized-format.js"
import { arraysOf, linearTensors, readLinear, storedFormat, tensorName } from "./read-linear.js"
import type { TensorStore } from "./safetensors-file.js"
import type { TensorType } from "./safetensors-header.js"
import { writeSafetensors } from "./safetensors-write.js"
import type { TensorData } from "./safetensors-write.js"
import { liesTransposed, transposedCodes } from "./transposed-linear.js"

/** One linear of a model that was quantized. */
export interface QuantizedTensor {
  readonly name: string
  readonly from: WeightFormat
  readonly to: WeightFormat
  readonly rows: number
  readonly cols: number
  /** Bytes in the new folder. */
  readonly bytes: number
  /** ||W' - W||_F / ||W||_F of the new W' against the stored W. */
  readonly relativeError: number
  /** ||W' - W||_F squared and ||W||_F squared, which add up over tensors. */
  readonly errorSq: number
  readonly normSq: number
}

interface Quantize {
  readonly format: TargetFormat
  /** Of the names of all linears those that stay in the format they are stored in; called once, before any writing. */
  readonly keep: (linears: readonly string[]) => ReadonlySet<string>
  readonly onTensor: (tensor: QuantizedTensor, progress: { done: number; of: number }) => void
  readonly signal?: AbortSignal
}

/**
 * Writes a model (`openModelFiles`) to a folder that is new or empty, its linears in `format`, all else as it is. One
 * linear at a time is in memory, stored and quantized, so that a model may be larger than memory. config.json comes
 * last: a folder cut off half way does not load. FILE_UNWRITABLE, FILE_UNREADABLE, MODEL_CONFIG, MODEL_UNSUPPORTED,
 * WEIGHTS_MISSING, WEIGHTS_MALFORMED, WEIGHTS_DTYPE; the reason of `signal` when it aborts.
 */
export async function quantizeModel(path: string, folder: string, options: Quantize): Promise<void> {
  const files = await openModelFiles(path)
  try {
    const json = await files.config()
    const config = parseModelConfig(json, files.configPath)
    const store = prefixedStore(await files.store(), familyOf(config.model).names)
    checkTensors(files.path, config, store)
    const job = { config, store, options }
    const linears = linearShapes(config.model)
    const formats = newFormats(job, linears)
    await makeEmptyFolder(folder)
    await writeTokenizer(files, folder)
    const tensors = new Map([...otherTensors(job, linears), ...linearSources(job, linears, formats)])
    await writeSafetensors(join(folder, "model.safetensors"), tensors, { format: "pt" })
    const written: Record<string, unknown> = { ...json }
    delete written.quantization_config
    const quantization = quantizationConfig(formats)
    if (quantization !== undefined) written.quantization_config = quantization
    const text = `${JSON.stringify(written, undefined, 2)}\n`
    await writeAtomically(join(folder, "config.json"), [Buffer.from(text)])
  } finally {
    await files.close()
  }
}

interface Job {
  readonly config: CheckpointConfig
  readonly store: TensorStore
  readonly options: Quantize
}

/** The format each linear will have: its own when it is kept. */
function newFormats({ config, store, options }: Job, linears: readonly MatrixShape[]): Map<string, WeightFormat> {
  const kept = options.keep(linears.map(({ name }) => name))
  const format = (name: string): WeightFormat =>
    kept.has(name) ? storedFormat(store, name, config.quantization) : options.format
  return new Map(linears.map(({ name }) => [name, format(name)]))
}

/** Norms, biases and the like, as they are stored. */
function otherTensors({ config, store }: Job, linears: readonly MatrixShape[]): [string, TensorData][] {
  const blocks = store.readFrozen !== undefined
  const ofLinears = linears.flatMap((shape) =>
    linearTensors(shape, { quantization: formatOf(config.quantization, shape.name), blocks }),
  )
  const taken = new Set(ofLinears.map(({ name }) => name))
  return [...store.tensors]
    .filter(([name]) => !taken.has(name) && !isRedundant(name, config.model))
    .map(([name, { dtype, shape }]) => [name, { dtype: dtype as TensorType, shape, data: () => store.read(name) }])
}

/** The tensors of every linear in its new format; each is read and quantized once, when its codes are written. */
function linearSources(
  job: Job,
  linears: readonly MatrixShape[],
  formats: ReadonlyMap<string, WeightFormat>,
): [string, TensorData][] {
  let at: { readonly name: string; readonly weight: FrozenWeight } | undefined
  let done = 0
  const weightOf = async (shape: MatrixShape, format: WeightFormat): Promise<FrozenWeight> => {
    if (at?.name === shape.name) return at.weight
    at = undefined // the memory of the last one goes before the next one comes
    job.options.signal?.throwIfAborted()
    const { weight, report } = await quantizeLinear(job, shape, format)
    at = { name: shape.name, weight }
    job.options.onTensor(report, { done: ++done, of: linears.length })
    return weight
  }
  return linears.flatMap((shape) => {
    const format = formats.get(shape.name) ?? job.options.format
    const turned = liesTransposed(shape, format)
    return arraysOf(shape, format).map(({ name, element, shape: size }): [string, TensorData] => {
      const data = async (): Promise<FrozenValues> => {
        const weight = await weightOf(shape, format)
        return turned ? transposedCodes(weight) : valuesOf(weight, name)!
      }
      return [tensorName(shape.name, name), { dtype: element, shape: turned ? [...size].reverse() : size, data }]
    })
  })
}

async function quantizeLinear(
  { config, store }: Job,
  shape: MatrixShape,
  format: WeightFormat,
): Promise<{ weight: FrozenWeight; report: QuantizedTensor }> {
  const quantization = formatOf(config.quantization, shape.name)
  const stored = await readLinear(store, shape, { quantization, precision: "stored" })
  const weight = stored.format === format ? stored : toFormat(stored, format as TargetFormat, shape.name)
  const { name, outFeatures: rows, inFeatures: cols } = shape
  const bytes = frozenBytes(weight)
  const { errorSq, normSq } = squaredError(stored, weight)
  const relativeError = errorSq === 0 ? 0 : Math.sqrt(errorSq / normSq)
  return {
    weight,
    report: { name, from: stored.format, to: format, rows, cols, bytes, relativeError, errorSq, normSq },
  }
}

function toFormat(stored: FrozenWeight, format: TargetFormat, name: string): FrozenWeight {
  try {
    return requantize(stored, format)
  } catch (cause) {
    if (!(cause instanceof KernelError)) throw cause
    throw new LaminaError("WEIGHTS_MALFORMED", `${name}.weight: ${cause.message}`, { cause })
  }
}
