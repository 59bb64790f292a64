import { copyFile } from "node:fs/promises"
import { join, resolve } from "node:path"

import { blocksPerRow, QUANT_BLOCK } from "@lamina/kernels"
import type { FrozenWeight, WeightFormat } from "@lamina/kernels"
import { LaminaError } from "@lamina/protocol/errors"

import type { Base } from "../api.js"
import { parseJsonObject } from "../files/json.js"
import { makeFolder } from "../files/make-folder.js"
import { writeAtomically } from "../files/write-atomically.js"
import { readConfigText } from "./model-config.js"
import { writeSafetensors } from "./safetensors-write.js"
import type { TensorData } from "./safetensors-write.js"

/** What goes with the weights, where the source has it. */
const TOKENIZER_FILES = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json"]

/**
 * Writes a base to a folder of its own in the format it has in memory: f32 and bf16 as transformers reads them, q8 and
 * q4 as `X.weight` with `X.weight.scales` (and `.mins`) and `quantization_config` in config.json. Loading it with
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
  if (format !== undefined) config.quantization_config = { quant_method: "lamina", format, block: QUANT_BLOCK }
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

/** q8 or q4 when all linears are; undefined when none is quantized. */
function quantizedFormat(base: Base): "q8" | "q4" | undefined {
  const formats = [...new Set(Object.values(base.linears).map(({ format }) => format))]
  const quantized = formats.filter((format) => format === "q8" || format === "q4")
  if (quantized.length > 0 && formats.length > 1)
    throw new LaminaError(
      "MODEL_CONFIG",
      `${base.folder}: expected one format for all linears, got ${formats.join(" and ")}`,
    )
  return quantized[0]
}

const DTYPES = { f32: "F32", bf16: "BF16", q8: "I8", q4: "U8" } as const satisfies Record<WeightFormat, string>

function linearData(name: string, weight: FrozenWeight): [string, TensorData][] {
  const { rows, cols, format } = weight
  const blocks = blocksPerRow(cols)
  const key = `${name}.weight`
  const codes: TensorData = {
    dtype: DTYPES[format],
    shape: [rows, format === "q4" ? blocks * 16 : cols],
    data: weight.codes,
  }
  const halves = (data: Uint16Array): TensorData => ({ dtype: "F16", shape: [rows, blocks], data })
  if (format === "q8")
    return [
      [key, codes],
      [`${key}.scales`, halves(weight.scales)],
    ]
  if (format === "q4")
    return [
      [key, codes],
      [`${key}.scales`, halves(weight.scales)],
      [`${key}.mins`, halves(weight.mins)],
    ]
  return [[key, codes]]
}

async function copyTokenizer(from: string, to: string): Promise<void> {
  for (const file of TOKENIZER_FILES)
    await copyFile(join(from, file), join(to, file)).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code !== "ENOENT")
        throw new LaminaError("FILE_UNWRITABLE", `${join(to, file)}: ${cause.message}`, { cause })
    })
}
