import { embedding, lmHeadCrossEntropy, lmHeadScores, quantLoraLinear } from "@lamina/kernels"
import type { FrozenFactors, FrozenWeight, Precision, RopeTable } from "@lamina/kernels"
import type { Adapter } from "@lamina/protocol"
import { LaminaError } from "@lamina/protocol/errors"
import * as tf from "@tensorflow/tfjs-core"

import type { Base, ModelConfig } from "../api.js"
import { attentionShape } from "./attention-shape.js"
import { decoderBlock } from "./block.js"
import type { Attend, BlockAdapters, BlockWeights } from "./block.js"
import { familyOf } from "./families/families.js"
import { foldAdapters } from "./lora.js"
import { norm } from "./norm.js"
import type { NormWeights } from "./norm.js"
import { ropeTable } from "./rope-table.js"

/**
 * A decoder of any family (model/families/), its weights and tables at hand. All sequences of a batch lie one after
 * another: T tokens, D hidden, V vocabulary.
 */
export interface Decoder {
  readonly config: ModelConfig
  readonly precision: Precision
  readonly embed: FrozenWeight
  /** Learned positions, (context, D). */
  readonly positions?: FrozenWeight
  readonly blocks: readonly BlockWeights[]
  readonly norm: NormWeights
  readonly head: FrozenWeight
  /** Absent: positions are learned. */
  readonly rope?: RopeTable
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
export function createDecoder(
  base: Base,
  options: { adapters: readonly Adapter[]; precision: Precision; positions: number },
): Decoder {
  const { config } = base
  const { names } = familyOf(config)
  const global = foldAdapters(base, options.adapters)
  const embed = linearOf(base, names.embed)
  return {
    config,
    precision: options.precision,
    embed,
    ...(names.positions !== undefined && { positions: linearOf(base, names.positions) }),
    blocks: Array.from({ length: config.layers }, (_, layer) => blockWeights(base, global, layer)),
    norm: normOf(base, names.norm),
    head: config.tiedHead ? embed : linearOf(base, names.head),
    rope: config.rope && ropeTable({ ...config.rope, headDim: config.headDim, positions: options.positions }),
  }
}

interface PassOptions {
  /** Trained factors, one entry per block. */
  readonly adapters?: readonly BlockAdapters[]
  /** By layer, in place of attention among the rows' own tokens: for passes without a gradient. */
  readonly attend?: (layer: number) => Attend
  /** Keep only each block's input for the gradient, and compute the rest again. */
  readonly gradientCheckpointing?: boolean
}

/** Ids -> the hidden state after the last norm, (T,D). Differentiable with respect to the factors in `adapters`. */
export function hiddenStates(
  model: Decoder,
  rows: TokenRows,
  { adapters, attend, gradientCheckpointing }: PassOptions = {},
): tf.Tensor2D {
  const { config, precision, rope } = model
  const context = { config, precision, rope, positions: rows.positions, offsets: rows.offsets, gradientCheckpointing }
  let x = embed(model, rows)
  let needsDx = false // nothing below the first trained block needs a gradient
  for (const [layer, weights] of model.blocks.entries()) {
    const lora = adapters?.[layer] ?? {}
    const y = decoderBlock({ context, weights, lora, attend: attend?.(layer) }, x, needsDx)
    x.dispose()
    x = y
    needsDx ||= Object.keys(lora).length > 0
  }
  return norm(x, model.norm, config.normEps)
}

function embed({ embed: weight, positions }: Decoder, rows: TokenRows): tf.Tensor2D {
  const x = embedding({ ids: rows.ids, weight })
  if (positions === undefined) return x
  return tf.tidy(() => {
    const learned = embedding({ ids: rows.positions, weight: positions })
    const sum = tf.add<tf.Tensor2D>(x, learned)
    x.dispose()
    return sum
  })
}

/**
 * Mean over targets >= 0 of -log softmax(hidden · headᵀ)[target]; targets (T), -1 for tokens that are not predicted.
 * Scalar, in nats. Differentiable with respect to the factors in `adapters`.
 */
export function lossOf(
  model: Decoder,
  rows: TokenRows & { readonly targets: Int32Array },
  options: Pick<PassOptions, "adapters" | "gradientCheckpointing"> = {},
): tf.Scalar {
  const x = hiddenStates(model, rows, options)
  return lmHeadCrossEntropy({ x, weight: model.head, targets: rows.targets, precision: model.precision })
}

/** The same without a gradient, and the share of targets that are the model's first choice. */
export function scoresOf(
  model: Decoder,
  rows: TokenRows & { readonly targets: Int32Array },
): { readonly loss: tf.Scalar; readonly accuracy: tf.Scalar } {
  const x = hiddenStates(model, rows)
  return lmHeadScores({ x, weight: model.head, targets: rows.targets, precision: model.precision })
}

/** Scores of every next token, (T,V): for short inputs, the whole matrix is held. */
export function logitsOf(model: Decoder, rows: TokenRows): tf.Tensor2D {
  return tf.tidy(() => headLogits(model, hiddenStates(model, rows)))
}

/** hidden (T,D) -> scores of every next token, (T,V). */
export function headLogits(model: Decoder, hidden: tf.Tensor2D): tf.Tensor2D {
  return quantLoraLinear({ x: hidden, weight: model.head, precision: model.precision })
}

function blockWeights(base: Base, global: Readonly<Record<string, FrozenFactors>>, layer: number): BlockWeights {
  const { names } = familyOf(base.config)
  const at = (path: string): string => `${names.layers}.${layer}.${path}`
  const linears = Object.entries(names.linears).map(([linear, path]) => {
    const name = at(path)
    return [linear, { weight: linearOf(base, name), bias: base.biases[name], global: global[name] }] as const
  })
  return {
    attentionNorm: normOf(base, at(names.attentionNorm)),
    mlpNorm: normOf(base, at(names.mlpNorm)),
    ...(names.qNorm !== undefined && { qNorm: normOf(base, at(names.qNorm)) }),
    ...(names.kNorm !== undefined && { kNorm: normOf(base, at(names.kNorm)) }),
    attention: attentionShape(base.config, layer),
    linears: Object.fromEntries(linears),
  }
}

function linearOf(base: Base, name: string): FrozenWeight {
  const weight = base.linears[name]
  if (weight === undefined) throw new LaminaError("WEIGHTS_MISSING", `expected weight ${name} in the base, got none`)
  return weight
}

function normOf(base: Base, name: string): NormWeights {
  const weight = base.norms[name]
  if (weight === undefined) throw new LaminaError("WEIGHTS_MISSING", `expected norm ${name} in the base, got none`)
  const bias = base.biases[name]
  return { weight, ...(bias && { bias }) }
}
