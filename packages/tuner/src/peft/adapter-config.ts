import { LaminaError } from "@lamina/protocol/errors"
import type { ScalingRule } from "@lamina/protocol"

import { isJsonObject, parseJsonObject, showJson } from "../files/json.js"
import type { JsonObject } from "../files/json.js"

/** What adapter_config.json says of every module. */
export interface AdapterConfig {
  readonly scaling: ScalingRule
  /** r and lora_alpha of a module, rank_pattern and alpha_pattern applied. */
  readonly settingsOf: (name: string) => { rank: number; alpha: number }
}

/** Features of PEFT that change what is computed; each is off when absent, null, false or empty. */
const REFUSED = [
  ...["use_dora", "lora_bias", "use_qalora", "use_bdlora", "layer_replication", "modules_to_save"],
  ...["trainable_token_indices", "target_parameters", "alora_invocation_tokens", "arrow_config"],
  ...["velora_config", "kasa_config", "monteclora_config"],
]
/** A name of `LIMITS.nameBytesMax` with every character escaped. */
const PATTERN_LENGTH_MAX = 400
/** The others (pissa, olora, corda, loftq, lora_ga) change the base's own weights too. */
const INITIALISATIONS: readonly unknown[] = [undefined, null, true, false, "gaussian", "eva", "orthogonal"]

/**
 * Checks PEFT's adapter_config.json. ADAPTER_MALFORMED, naming key and value, for what is missing, wrong or a feature
 * we do not compute.
 */
export function parseAdapterConfig(text: string, path: string): AdapterConfig {
  const config = parseJsonObject(text, path, "ADAPTER_MALFORMED")
  const wrong = (key: string, expected: string): LaminaError =>
    new LaminaError("ADAPTER_MALFORMED", `${path}: ${key}: expected ${expected}, got ${showJson(config[key])}`)
  if (config.peft_type !== "LORA") throw wrong("peft_type", '"LORA"')
  for (const key of REFUSED) if (isOn(config[key])) throw wrong(key, "nothing, this feature is not supported")
  if (!["none", undefined, null].includes(config.bias as string))
    throw wrong("bias", '"none", trained biases are not supported')
  if (!INITIALISATIONS.includes(config.init_lora_weights))
    throw wrong("init_lora_weights", "one that leaves the base as it is")
  if (typeof (config.use_rslora ?? false) !== "boolean") throw wrong("use_rslora", "true or false")
  if (!isRank(config.r)) throw wrong("r", "a whole number from 1")
  if (!isAlpha(config.lora_alpha)) throw wrong("lora_alpha", "a number above 0")
  const { r, lora_alpha: alpha } = config
  const ranks = parsePattern(config, "rank_pattern", { path, valid: isRank })
  const alphas = parsePattern(config, "alpha_pattern", { path, valid: isAlpha })
  return {
    scaling: config.use_rslora === true ? "rslora" : "lora",
    settingsOf: (name) => ({ rank: ranks(name) ?? r, alpha: alphas(name) ?? alpha }),
  }
}

/**
 * rank_pattern or alpha_pattern as PEFT reads it: the first key that is the module's name or its last parts. PEFT's
 * keys are regular expressions; a stranger's are not run here, so plain names are taken, dots escaped or not, with or
 * without a leading ^.
 */
function parsePattern(
  config: JsonObject,
  key: "rank_pattern" | "alpha_pattern",
  check: { path: string; valid: (value: unknown) => value is number },
): (name: string) => number | undefined {
  const pattern = config[key] ?? {}
  const wrong = (message: string): LaminaError =>
    new LaminaError("ADAPTER_MALFORMED", `${check.path}: ${key}: ${message}`)
  if (!isJsonObject(pattern)) throw wrong(`expected an object, got ${showJson(pattern)}`)
  const exact = new Map<string, { value: number; order: number }>()
  const suffix = new Map<string, { value: number; order: number }>()
  for (const [order, [written, value]] of Object.entries(pattern).entries()) {
    if (written.length > PATTERN_LENGTH_MAX)
      throw wrong(`expected keys of at most ${PATTERN_LENGTH_MAX} characters, got ${written.length}`)
    const match = /^(\^?)((?:\w|-|\\?\.)+)$/.exec(written)
    if (match === null) throw wrong(`expected module names, got ${showJson(written)}`)
    if (!check.valid(value))
      throw wrong(`${written}: expected a number from 1 (rank) or above 0 (alpha), got ${showJson(value)}`)
    const name = (match[2] as string).replaceAll("\\", "")
    const into = match[1] === "^" ? exact : suffix
    if (!into.has(name)) into.set(name, { value, order })
  }
  return (name) => {
    const found = [exact.get(name), suffix.get(name)]
    for (let dot = name.indexOf("."); dot >= 0; dot = name.indexOf(".", dot + 1))
      found.push(suffix.get(name.slice(dot + 1)))
    return found.flatMap((entry) => entry ?? []).sort((left, right) => left.order - right.order)[0]?.value
  }
}

function isOn(value: unknown): boolean {
  if (value === undefined || value === null || value === false) return false
  if (Array.isArray(value)) return value.length > 0
  return isJsonObject(value) ? Object.keys(value).length > 0 : true
}

function isRank(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 1
}

function isAlpha(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value > 0
}
