import { join } from "node:path"

import { compareNames, LIMITS } from "@lamina/protocol"
import type { Adapter, AdapterModule } from "@lamina/protocol"
import { LaminaError } from "@lamina/protocol/errors"

import { parseJsonObject, showJson } from "../files/json.js"
import { readBounded } from "../files/read-bounded.js"
import { decodeFloats, readFloats } from "../weights/float-tensor.js"
import { openSafetensors } from "../weights/safetensors-file.js"
import type { TensorStore } from "../weights/safetensors-file.js"
import { parseAdapterConfig } from "./adapter-config.js"
import type { AdapterConfig } from "./adapter-config.js"

/** Room for rank_pattern and alpha_pattern of `LIMITS.modulesMax` modules with names of `LIMITS.nameBytesMax`. */
const CONFIG_BYTES_MAX = 4 * 2 ** 20
const CONFIG_BOUNDS = {
  bytesMax: CONFIG_BYTES_MAX,
  missing: "ADAPTER_MALFORMED",
  malformed: "ADAPTER_MALFORMED",
} as const

/** lora_A and lora_B of one module, told apart by name; undefined until seen. */
interface Pair {
  a?: string
  b?: string
}

/**
 * Reads a LoRA adapter folder as PEFT writes it: adapter_config.json and adapter_model.safetensors (f32, f16 or bf16,
 * made f32). Modules come sorted by name; rank, alpha and rule are the config's, and the tensors must have that rank.
 * Nothing else may be in the file. ADAPTER_MALFORMED naming file and field or feature; FILE_UNREADABLE.
 */
export async function readPeftAdapter(folder: string): Promise<Adapter> {
  const configPath = join(folder, "adapter_config.json")
  const config = parseAdapterConfig(await readBounded(configPath, CONFIG_BOUNDS), configPath)
  const path = join(folder, "adapter_model.safetensors")
  try {
    const store = await openSafetensors(path)
    try {
      return await readModules(store, config, path)
    } finally {
      await store.close()
    }
  } catch (cause) {
    if (!(cause instanceof LaminaError) || !cause.code.startsWith("WEIGHTS_")) throw cause
    throw new LaminaError("ADAPTER_MALFORMED", cause.message, { cause })
  }
}

/** What an adapter folder says its base is, `base_model_name_or_path`; "" where it does not. ADAPTER_MALFORMED. */
export async function peftBaseName(folder: string): Promise<string> {
  const path = join(folder, "adapter_config.json")
  const config = parseJsonObject(await readBounded(path, CONFIG_BOUNDS), path, "ADAPTER_MALFORMED")
  const { base_model_name_or_path: name = "" } = config
  return typeof name === "string" ? name : ""
}

async function readModules(store: TensorStore, config: AdapterConfig, path: string): Promise<Adapter> {
  const pairs = pairUp(store, path)
  const shaped = [...pairs]
    .sort(([left], [right]) => compareNames(left, right))
    .map(([name, pair]) => ({ name, ...checkPair(store, name, { pair, config, path }) }))
  const modules: AdapterModule[] = []
  for (const { tensorA, tensorB, ...module } of shaped) {
    const a = new Float32Array(module.rank * module.inFeatures)
    const b = new Float32Array(module.outFeatures * module.rank)
    decodeFloats(await readFloats(store, tensorA), 0, a)
    decodeFloats(await readFloats(store, tensorB), 0, b)
    modules.push({ ...module, a, b })
  }
  return { modules }
}

function pairUp(store: TensorStore, path: string): Map<string, Pair> {
  const pairs = new Map<string, Pair>()
  for (const key of store.tensors.keys()) {
    const [, name, factor] = /^base_model\.model\.([\w.-]+)\.lora_([AB])\.weight$/.exec(key) ?? []
    if (name === undefined)
      throw malformed(
        path,
        `${showJson(key)}: expected base_model.model.<module>.lora_A.weight or .lora_B.weight only${whatIs(key)}`,
      )
    if (name.length > LIMITS.nameBytesMax)
      throw malformed(
        path,
        `${showJson(key)}: expected a module name of at most ${LIMITS.nameBytesMax} characters, got ${name.length}`,
      )
    const pair = pairs.get(name) ?? {}
    pairs.set(name, factor === "A" ? { ...pair, a: key } : { ...pair, b: key })
  }
  if (pairs.size < 1 || pairs.size > LIMITS.modulesMax)
    throw malformed(path, `expected factors of 1 to ${LIMITS.modulesMax} modules, got ${pairs.size}`)
  return pairs
}

/** The feature of PEFT that writes such a key. */
function whatIs(key: string): string {
  if (key.includes("lora_embedding_")) return "; LoRA on embeddings is not supported"
  if (key.includes("lora_magnitude_vector")) return "; DoRA is not supported"
  if (key.includes("modules_to_save")) return "; modules_to_save is not supported"
  return key.endsWith("bias") ? "; trained biases are not supported" : ""
}

interface Shaped extends Omit<AdapterModule, "name" | "a" | "b"> {
  readonly tensorA: string
  readonly tensorB: string
}

function checkPair(
  store: TensorStore,
  name: string,
  given: { pair: Pair; config: AdapterConfig; path: string },
): Shaped {
  const { pair, config, path } = given
  const missing = pair.a === undefined ? "lora_A" : "lora_B"
  if (pair.a === undefined || pair.b === undefined)
    throw malformed(path, `${name}: expected lora_A and lora_B, ${missing} is missing`)
  const { rank, alpha } = config.settingsOf(name)
  const { shape: shapeA } = store.tensors.get(pair.a) ?? { shape: [] }
  const { shape: shapeB } = store.tensors.get(pair.b) ?? { shape: [] }
  const features = (size: number | undefined): size is number =>
    size !== undefined && size >= 1 && size <= LIMITS.featuresMax
  const [rankA, inFeatures] = shapeA
  const [outFeatures, rankB] = shapeB
  if (shapeA.length !== 2 || rankA !== rank || !features(inFeatures))
    throw malformed(
      path,
      `${pair.a}: expected shape [${rank}, in features], the rank by adapter_config.json, got [${shapeA.join(", ")}]`,
    )
  if (shapeB.length !== 2 || rankB !== rank || !features(outFeatures))
    throw malformed(
      path,
      `${pair.b}: expected shape [out features, ${rank}], the rank by adapter_config.json, got [${shapeB.join(", ")}]`,
    )
  return { outFeatures, inFeatures, rank, alpha, scaling: config.scaling, tensorA: pair.a, tensorB: pair.b }
}

function malformed(path: string, message: string): LaminaError {
  return new LaminaError("ADAPTER_MALFORMED", `${path}: ${message}`)
}
