import { compareNames } from "@lamina/protocol"
import { LaminaError } from "@lamina/protocol/errors"

import type { ModelConfig, ModuleShape } from "../api.js"

/** The linears of one decoder block, paths and (M,N) = (out, in) features. */
function blockShapes(config: ModelConfig): ModuleShape[] {
  const { hidden, ffn, heads, kvHeads, headDim } = config
  return [
    { name: "self_attn.q_proj", outFeatures: heads * headDim, inFeatures: hidden },
    { name: "self_attn.k_proj", outFeatures: kvHeads * headDim, inFeatures: hidden },
    { name: "self_attn.v_proj", outFeatures: kvHeads * headDim, inFeatures: hidden },
    { name: "self_attn.o_proj", outFeatures: hidden, inFeatures: heads * headDim },
    { name: "mlp.gate_proj", outFeatures: ffn, inFeatures: hidden },
    { name: "mlp.up_proj", outFeatures: ffn, inFeatures: hidden },
    { name: "mlp.down_proj", outFeatures: hidden, inFeatures: ffn },
  ]
}

/**
 * The linears of every block that `targetModules` names by their last part (`q_proj`, as PEFT's target_modules), sorted
 * by name. RECIPE_INVALID for a name the architecture does not have.
 */
export function moduleShapes(config: ModelConfig, targetModules: readonly string[]): ModuleShape[] {
  const shapes = blockShapes(config)
  const known = shapes.map(({ name }) => lastPart(name))
  const unknown = targetModules.find((target) => !known.includes(target))
  if (unknown !== undefined)
    throw new LaminaError(
      "RECIPE_INVALID",
      `lora.targetModules: expected some of ${known.join(", ")}, got ${JSON.stringify(unknown.slice(0, 80))}`,
    )
  const wanted = shapes.filter(({ name }) => targetModules.includes(lastPart(name)))
  return inEveryLayer(config, wanted).sort((left, right) => compareNames(left.name, right.name))
}

/**
 * Every 2-D weight of a checkpoint: embedding, the blocks' linears in layer order, the head when it is not the
 * embedding.
 */
export function linearShapes(config: ModelConfig): ModuleShape[] {
  const table = { outFeatures: config.vocabulary, inFeatures: config.hidden }
  const head = config.tiedHead ? [] : [{ name: "lm_head", ...table }]
  return [{ name: "model.embed_tokens", ...table }, ...inEveryLayer(config, blockShapes(config)), ...head]
}

/** Every norm's name; each is a vector (hidden). */
export function normNames(config: ModelConfig): string[] {
  const ofLayer = (_: unknown, layer: number): string[] =>
    ["input_layernorm", "post_attention_layernorm"].map((norm) => `model.layers.${layer}.${norm}`)
  return [...Array.from({ length: config.layers }, ofLayer).flat(), "model.norm"]
}

function inEveryLayer(config: ModelConfig, shapes: readonly ModuleShape[]): ModuleShape[] {
  const ofLayer = (_: unknown, layer: number): ModuleShape[] =>
    shapes.map((shape) => ({ ...shape, name: `model.layers.${layer}.${shape.name}` }))
  return Array.from({ length: config.layers }, ofLayer).flat()
}

function lastPart(name: string): string {
  return name.slice(name.lastIndexOf(".") + 1)
}
