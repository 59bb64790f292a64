import { embedding, lmHeadCrossEntropy, quantLoraLinear, rmsNorm } from "@lamina/kernels"
import type { FrozenFactors, FrozenWeight, Precision, RopeTable } from "@lamina/kernels"
import type { Adapter } from "@lamina/protocol"
import { LaminaError } from "@lamina/protocol/errors"
import * as tf from "@tensorflow/tfjs-core"

import type { Base, ModelConfig } from "../api.js"
import { decoderBlock } from "./block.js"
import type { Attend, BlockAdapters, BlockWeights } from "./block.js"
import { foldAdapters } from "./lora.js"
import { BLOCK_LINEARS } from "./module-slot.js"
import { ropeTable } from "./rope-table.js"

/**
 * The Llama decoder (Touvron et al. 2023, arXiv:2302.13971; grouped-query attention, Ainslie et al. 2023,
 * arXiv:2305.13245). All sequences of a batch lie one after another: T tokens, D hidden, V vocabulary.
 */
export interface Llama {
  readonly config: ModelConfig
  readonly precision: Precision
  readonly embed: FrozenWeight
  readonly blocks: readonly BlockWeights[]
  readonly norm: Float32Array
  readonly head: FrozenWeight
  readonly rope: RopeTable
}

/** T tokens of one or more sequences. */
export interface TokenRows {
  /** (T) */
  readonly ids: Int32Array
  /** (T) position of each token inside its sequence. */
  readonly positions: Int32Array
  /** (S+1) first row of each sequence, then T. Tokens see their own sequence only. */
  readonly offsets: Int32Array
}

/**
 * The model over `base` with the frozen `adapters` on top, for sequences of at most `positions` tokens.
 * ADAPTER_MISMATCH.
 */
export function createLlama(
  base: Base,
  options: { adapters: readonly Adapter[]; precision: Precision; positions: number },
): Llama {
  const { config } = base
  const global = foldAdapters(base, options.adapters)
  const embed = linearOf(base, "model.embed_tokens")
  return {
    config,
    precision: options.precision,
    embed,
    blocks: Array.from({ length: config.layers }, (_, layer) => blockWeights(base, global, layer)),
    norm: normOf(base, "model.norm"),
    head: config.tiedHead ? embed : linearOf(base, "lm_head"),
    rope: ropeTable({ headDim: config.headDim, theta: config.ropeTheta, positions: options.positions }),
  }
}

/**
 * Ids -> the hidden state after the last norm, (T,D). Differentiable with respect to the factors in `adapters`, one
 * entry per block. `attend`, by layer, stands in for attention among the rows' own tokens: for passes without a
 * gradient.
 */
export function hiddenStates(
  model: Llama,
  rows: TokenRows,
  { adapters, attend }: { adapters?: readonly BlockAdapters[]; attend?: (layer: number) => Attend } = {},
): tf.Tensor2D {
  const { config, precision, rope } = model
  const context = { config, precision, rope, positions: rows.positions, offsets: rows.offsets }
  let x = embedding({ ids: rows.ids, weight: model.embed })
  let needsDx = false // nothing below the first trained block needs a gradient
  for (const [layer, weights] of model.blocks.entries()) {
    const lora = adapters?.[layer] ?? {}
    const y = decoderBlock({ context, weights, lora, attend: attend?.(layer) }, x, needsDx)
    x.dispose()
    x = y
    needsDx ||= Object.keys(lora).length > 0
  }
  return rmsNorm(x, { weight: model.norm, eps: config.rmsEps })
}

/**
 * Mean over targets >= 0 of -log softmax(hidden · headᵀ)[target]; targets (T), -1 for tokens that are not predicted.
 * Scalar, in nats. Differentiable with respect to the factors in `adapters`, one entry per block.
 */
export function lossOf(
  model: Llama,
  rows: TokenRows & { readonly targets: Int32Array },
  adapters?: readonly BlockAdapters[],
): tf.Scalar {
  const x = hiddenStates(model, rows, { adapters })
  return lmHeadCrossEntropy({ x, weight: model.head, targets: rows.targets, precision: model.precision })
}

/** Scores of every next token, (T,V): for short inputs, the whole matrix is held. */
export function logitsOf(model: Llama, rows: TokenRows): tf.Tensor2D {
  return tf.tidy(() => headLogits(model, hiddenStates(model, rows)))
}

/** hidden (T,D) -> scores of every next token, (T,V). */
export function headLogits(model: Llama, hidden: tf.Tensor2D): tf.Tensor2D {
  return quantLoraLinear({ x: hidden, weight: model.head, precision: model.precision })
}

function blockWeights(base: Base, global: Readonly<Record<string, FrozenFactors>>, layer: number): BlockWeights {
  const prefix = `model.layers.${layer}`
  const linears = Object.entries(BLOCK_LINEARS).map(([key, path]) => {
    const name = `${prefix}.${path}`
    return [key, { weight: linearOf(base, name), global: global[name] }] as const
  })
  return {
    attentionNorm: normOf(base, `${prefix}.input_layernorm`),
    mlpNorm: normOf(base, `${prefix}.post_attention_layernorm`),
    linears: Object.fromEntries(linears) as BlockWeights["linears"],
  }
}

function linearOf(base: Base, name: string): FrozenWeight {
  const weight = base.linears[name]
  if (weight === undefined) throw new LaminaError("WEIGHTS_MISSING", `expected weight ${name} in the base, got none`)
  return weight
}

function normOf(base: Base, name: string): Float32Array {
  const norm = base.norms[name]
  if (norm === undefined) throw new LaminaError("WEIGHTS_MISSING", `expected norm ${name} in the base, got none`)
  return norm
}
