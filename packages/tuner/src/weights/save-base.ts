import { copyFile } from "node:fs/promises"
import { join, resolve } from "node:path"

import { frozenArrays, valuesOf } from "@lamina/kernels"
import type { FrozenWeight } from "@lamina/kernels"
import { LaminaError } from "@lamina/protocol/errors"

import type { Base } from "../api.js"
import { parseJsonObject } from "../files/json.js"
import { makeFolder } from "../files/make-folder.js"
import { writeAtomically } from "../files/write-atomically.js"
import { readConfigText } from "./model-config.js"
import { isQuantizedFormat, QUANTIZED_BLOCKS } from "./quantized-format.js"
import type { QuantizedFormat } from "./quantized-format.js"
import { tensorName } from "./read-linear.js"
import { writeSafetensors } from "./safetensors-write.js"
import type { TensorData } from "./safetensors-write.js"

/** What goes with the weights, where the source has it. */
const TOKENIZER_FILES = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json"]

/**
 * Writes a base to a folder of its own in the format it has in memory: f32, bf16 and f16 as transformers reads them,
 * quantized ones as `X.weight` with `X.weight.scales` and so on (docs/weights.md) and `quantization_config` in
 * config.json. All linears then have one format. Loading it with
 * precision "stored" gives the same bytes; the files' bytes depend on the base alone. config.json comes last, so that a
 * folder cut off half way does not load. FILE_UNWRITABLE, FILE_UNREADABLE, MODEL_CONFIG.
 */
export async function saveBase(base: Base, folder: string): Promise<void> {
  if (resolve(folder) === resolve(base.folder))
    throw new LaminaError("FILE_UNWRITABLE", `${folder}: expected another folder than the one the base came from`)
  const format = quantizedFormat(base)
  const config: Record<string, unknown> = {
    ...parseJsonObject(await readConfigText(base.folder), `${base.folder}/config.json`, "MODEL_CONFIG"),
  }
  delete config.quantization_config
  if (format !== undefined)
    config.quantization_config = { quant_method: "lamina", format, block: QUANTIZED_BLOCKS[format] }
  const tensors = new Map<string, TensorData>()
  for (const [name, weight] of Object.entries(base.linears))
    for (const [key, data] of linearData(name, weight)) tensors.set(key, data)
  for (const [name, data] of Object.entries(base.norms))
    tensors.set(`${name}.weight`, { dtype: "F32", shape: [data.length], data })
  await makeFolder(folder)
  await copyTokenizer(base.folder, folder)
  await writeSafetensors(join(folder, "model.safetensors"), tensors, { format: "pt" })
  await writeAtomically(join(folder, "config.json"), [Buffer.from(`${JSON.stringify(config, undefined, 2)}\n`)])
}

/** The one quantized format of all linears; undefined when none is quantized. */
function quantizedFormat(base: Base): QuantizedFormat | undefined {
  const formats = [...new Set(Object.values(base.linears).map(({ format }) => format))]
  const quantized = formats.filter(isQuantizedFormat)
  if (quantized.length > 0 && formats.length > 1)
    throw new LaminaError(
      "MODEL_CONFIG",
      `${base.folder}: expected one format for all linears, got ${formats.join(" and ")}`,
      { hint: "load it with a precision, q8 for one, and save that" },
    )
  return quantized[0]
}

function linearData(linear: string, weight: FrozenWeight): [string, TensorData][] {
  return frozenArrays(weight.format, weight.rows, weight.cols).map(({ name, element, shape }) => [
    tensorName(linear, name),
    { dtype: element, shape, data: valuesOf(weight, name)! },
  ])
}

async function copyTokenizer(from: string, to: string): Promise<void> {
  for (const file of TOKENIZER_FILES)
    await copyFile(join(from, file), join(to, file)).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code !== "ENOENT")
        throw new LaminaError("FILE_UNWRITABLE", `${join(to, file)}: ${cause.message}`, { cause })
    })
}
