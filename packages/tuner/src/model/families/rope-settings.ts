import type { RopeScaling, RopeSettings } from "../../api.js"
import type { ConfigFields } from "../../weights/config-fields.js"

/** transformers' default of the families we have. */
const THETA = 10_000
const CONTEXT_MAX = 2 ** 24

/**
 * How positions turn: `rope_theta` and `rope_scaling` of transformers 4, or `rope_parameters` of transformers 5, which
 * takes the former first where a file has both. `context` is the model's. MODEL_CONFIG, MODEL_UNSUPPORTED.
 */
export function ropeSettings(fields: ConfigFields, context: number): RopeSettings {
  const [old, parameters] = [fields.object("rope_scaling"), fields.object("rope_parameters")]
  for (const rope of [old, parameters]) rope?.only("partial_rotary_factor", 1)
  const theta = [parameters, old, fields].find((from) => from?.has("rope_theta") === true)?.real("rope_theta") ?? THETA
  const scaling = old ? scalingOf(old, context) : parameters && parametersScaling(parameters, context)
  return { theta, ...(scaling && { scaling }) }
}

function parametersScaling(parameters: ConfigFields, context: number): RopeScaling | undefined {
  return parameters.has("rope_type") || parameters.has("type") ? scalingOf(parameters, context) : undefined
}

function scalingOf(rope: ConfigFields, context: number): RopeScaling | undefined {
  const type = rope.get("rope_type") ?? rope.get("type")
  if (type === "default") return undefined
  const factor = (): number => rope.real("factor")
  const originalContext = (): number => rope.size("original_max_position_embeddings", CONTEXT_MAX, context)
  if (type === "linear") return { type, factor: factor() }
  if (type === "llama3") {
    const [low, high] = [rope.real("low_freq_factor"), rope.real("high_freq_factor")]
    if (high <= low) throw rope.invalid("high_freq_factor", `more than low_freq_factor ${low}`)
    return { type, factor: factor(), lowFactor: low, highFactor: high, originalContext: originalContext() }
  }
  if (type === "yarn")
    return {
      ...{ type, factor: factor(), originalContext: originalContext() },
      ...{ betaFast: rope.real("beta_fast", 32), betaSlow: rope.real("beta_slow", 1) },
      truncate: rope.flag("truncate", true),
      attentionFactor: attentionFactor(rope),
    }
  throw rope.unsupported("rope_type", '"default", "linear", "llama3" or "yarn"')
}

/** What yarn multiplies cos and sin with (Peng et al. 2023, arXiv:2309.00071, section 3.4; mscale as DeepSeek). */
function attentionFactor(rope: ConfigFields): number {
  if (rope.has("attention_factor")) return rope.real("attention_factor")
  const factor = rope.real("factor")
  const growth = (mscale: number): number => (factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1)
  // transformers reads a zero as nothing
  const given = ["mscale", "mscale_all_dim"].every((key) => rope.has(key) && rope.get(key) !== 0)
  return given ? growth(rope.real("mscale")) / growth(rope.real("mscale_all_dim")) : growth(1)
}
