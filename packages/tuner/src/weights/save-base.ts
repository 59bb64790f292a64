import { join } from "node:path"

import { frozenArrays, valuesOf } from "@lamina/kernels"
import type { FrozenWeight } from "@lamina/kernels"

import type { Base } from "../api.js"
import { makeEmptyFolder } from "../files/make-folder.js"
import { writeAtomically } from "../files/write-atomically.js"
import { writeTokenizer } from "../tokenizer/write-tokenizer.js"
import { openModelFiles } from "./model-files.js"
import type { ModelFiles } from "./model-files.js"
import { quantizationConfig } from "./quantized-format.js"
import { tensorName } from "./read-linear.js"
import { linearShapes } from "./module-shapes.js"
import type { MatrixShape } from "./module-shapes.js"
import { writeSafetensors } from "./safetensors-write.js"
import type { TensorData } from "./safetensors-write.js"
import { liesTransposed, transposedCodes } from "./transposed-linear.js"

/**
 * Writes a base to a new or empty folder in the format it has in memory: f32, bf16 and f16 as transformers reads them,
 * quantized ones as `X.weight` with `X.weight.scales` and so on (docs/weights.md) and `quantization_config` in
 * config.json. Loading it with precision "stored" gives the same bytes; the files' bytes depend on the
 * base alone. config.json comes last, so that a folder cut off half way does not load. FILE_UNWRITABLE,
 * FILE_UNREADABLE, MODEL_CONFIG.
 */
export async function saveBase(base: Base, folder: string): Promise<void> {
  const files = await openModelFiles(base.folder)
  try {
    await writeModel(base, files, folder)
  } finally {
    await files.close()
  }
}

async function writeModel(base: Base, files: ModelFiles, folder: string): Promise<void> {
  const config: Record<string, unknown> = { ...(await files.config()) }
  delete config.quantization_config
  const formats = Object.entries(base.linears).map(([name, { format }]) => [name, format] as const)
  const quantization = quantizationConfig(new Map(formats))
  if (quantization !== undefined) config.quantization_config = quantization
  const tensors = new Map<string, TensorData>()
  for (const shape of linearShapes(base.config))
    for (const [key, tensor] of linearData(shape, base.linears[shape.name]!)) tensors.set(key, tensor)
  for (const [name, data] of Object.entries(base.norms))
    tensors.set(`${name}.weight`, { dtype: "F32", shape: [data.length], data })
  for (const [name, data] of Object.entries(base.biases))
    tensors.set(`${name}.bias`, { dtype: "F32", shape: [data.length], data })
  await makeEmptyFolder(folder)
  await writeTokenizer(files, folder)
  await writeSafetensors(join(folder, "model.safetensors"), tensors, { format: "pt" })
  await writeAtomically(join(folder, "config.json"), [Buffer.from(`${JSON.stringify(config, undefined, 2)}\n`)])
}

function linearData(linear: MatrixShape, weight: FrozenWeight): [string, TensorData][] {
  const turned = liesTransposed(linear, weight.format)
  return frozenArrays(weight.format, weight.rows, weight.cols).map(({ name, element, shape }) => [
    tensorName(linear.name, name),
    turned
      ? { dtype: element, shape: [...shape].reverse(), data: transposedCodes(weight) }
      : { dtype: element, shape, data: valuesOf(weight, name)! },
  ])
}
