import type { Architecture, ModelConfig } from "../api.js"
import { showJson } from "../files/json.js"
import type { JsonObject } from "../files/json.js"
import { FAMILIES } from "../model/families/families.js"
import { ConfigFields } from "./config-fields.js"
import { openModelFiles } from "./model-files.js"
import { isQuantizedFormat, PLAIN, QUANTIZED_BLOCKS } from "./quantized-format.js"
import type { Quantization, QuantizedFormat } from "./quantized-format.js"

/** What config.json says about a checkpoint folder. */
export interface CheckpointConfig {
  readonly model: ModelConfig
  /** Set when the linears are stored as `lamina model quantize` writes them. */
  readonly quantization: Quantization | undefined
}

/**
 * What a model's folder or GGUF file (`openModelFiles`) says of its architecture. MODEL_CONFIG, MODEL_UNSUPPORTED,
 * FILE_UNREADABLE, and for GGUF WEIGHTS_MALFORMED.
 */
export async function readModelConfig(path: string): Promise<ModelConfig> {
  const files = await openModelFiles(path)
  try {
    return parseModelConfig(await files.config(), files.configPath).model
  } finally {
    await files.close()
  }
}

/**
 * Checks and translates a config.json, as transformers 4 or 5 writes it; its family (model/families/) says which keys
 * count. MODEL_UNSUPPORTED, naming key and value, for what our decoder does not compute; MODEL_CONFIG for what is
 * missing or makes no sense.
 */
export function parseModelConfig(config: JsonObject, path: string): CheckpointConfig {
  const fields = new ConfigFields(config, path)
  const architecture = fields.get("model_type")
  if (!isArchitecture(architecture))
    throw fields.unsupported("model_type", `one of ${Object.keys(FAMILIES).map(showJson).join(", ")}`)
  const { modelClass, readConfig } = FAMILIES[architecture]
  const classes = fields.get("architectures")
  if (Array.isArray(classes) && !classes.includes(modelClass)) throw fields.unsupported("architectures", modelClass)
  return {
    model: { architecture, ...readConfig(fields) },
    quantization: quantization(fields),
  }
}

function isArchitecture(name: unknown): name is Architecture {
  return typeof name === "string" && Object.hasOwn(FAMILIES, name)
}

function quantization(fields: ConfigFields): Quantization | undefined {
  const stored = fields.object("quantization_config")
  if (stored === undefined) return undefined
  stored.only("quant_method", "lamina", { required: true })
  const format = stored.get("format")
  if (!isQuantizedFormat(format))
    throw stored.unsupported("format", `one of ${Object.keys(QUANTIZED_BLOCKS).join(", ")}`)
  stored.only("block", QUANTIZED_BLOCKS[format], { required: true })
  return { format, exceptions: quantizationExceptions(stored.object("exceptions")) }
}

/** Linear -> format, of `quantization_config.exceptions`. */
function quantizationExceptions(stored: ConfigFields | undefined): Map<string, QuantizedFormat | undefined> {
  return new Map(
    stored?.keys().map((name) => {
      const format = stored.get(name)
      if (format === PLAIN) return [name, undefined]
      if (isQuantizedFormat(format)) return [name, format]
      throw stored.invalid(name, `one of ${PLAIN}, ${Object.keys(QUANTIZED_BLOCKS).join(", ")}`)
    }),
  )
}
