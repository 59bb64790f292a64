import { causalAttention, quantLoraLinear, rope } from "@lamina/kernels"
import type { CausalAttentionArgs, FrozenFactors, FrozenWeight, LoraTerm, Precision, RopeTable } from "@lamina/kernels"
import * as tf from "@tensorflow/tfjs-core"

import type { ModelConfig } from "../api.js"
import { activated, activatedAndKept } from "./activation.js"
import type { MlpInner, MlpKept } from "./activation.js"
import type { AttentionShape } from "./attention-shape.js"
import { blockGradient } from "./block-gradient.js"
import type { LinearName } from "./families/family.js"
import { norm } from "./norm.js"
import type { NormWeights } from "./norm.js"
import { waiting } from "./waiting.js"
import type { Waiting } from "./waiting.js"

/** What is frozen in one block. */
export interface BlockWeights {
  readonly attentionNorm: NormWeights
  readonly mlpNorm: NormWeights
  /** Of every head of q and k, before they are turned. */
  readonly qNorm?: NormWeights
  readonly kNorm?: NormWeights
  readonly attention: AttentionShape
  readonly linears: Readonly<Partial<Record<LinearName, FrozenLinear>>>
}

interface FrozenLinear {
  readonly weight: FrozenWeight
  readonly bias?: Float32Array
  readonly global?: FrozenFactors
}

/** Trained factors of the layers that have any. */
export type BlockAdapters = Readonly<Partial<Record<LinearName, LoraTerm>>>

/** How a block's tokens see each other: q, k, v as causalAttention takes them -> (T, heads·headDim). */
export type Attend = (qkv: CausalAttentionArgs) => tf.Tensor2D

/** What all blocks of one pass share. */
interface BlockContext {
  readonly config: ModelConfig
  readonly precision: Precision
  /** Absent: positions are learned. */
  readonly rope?: RopeTable
  readonly positions: Int32Array
  readonly offsets: Int32Array
  /** Keep only each block's input for the gradient. */
  readonly gradientCheckpointing?: boolean
}

/** One block of one pass: its frozen weights and trained factors. */
export interface Block {
  readonly context: BlockContext
  readonly weights: BlockWeights
  readonly lora: BlockAdapters
  /** In place of attention among the pass's own tokens; such a block has no gradient. */
  readonly attend?: Attend
}

/** What the gradient needs of the attention half and cannot cheaply compute again; all (T, ...). */
interface AttentionActivations {
  readonly x: tf.Tensor2D
  /** q and k before their norms, where they have any. */
  readonly rawQ?: tf.Tensor2D
  readonly rawK?: tf.Tensor2D
  readonly q: tf.Tensor2D
  readonly k: tf.Tensor2D
  readonly v: tf.Tensor2D
  readonly attended: tf.Tensor2D
  readonly middle: tf.Tensor2D
}

/** What the gradient needs of a forward pass. */
export type BlockActivations = AttentionActivations & MlpKept

/**
 * y = h + mlp(norm(h)), h = x + attention(norm(x)); x and y (T,D). One node of the tape: differentiable with respect
 * to the factors of `block.lora`, and to x when `needsDx`. Norms and the MLP's product are computed again for the
 * gradient instead of kept (Chen et al. 2016, arXiv:1604.06174): they are the larger half of the activations and cost
 * no matrix product. What is kept of attention and MLP waits in half precision where the products round anyway. With
 * `gradientCheckpointing` nothing but x is kept, and all of the block is computed again but its last product.
 */
export function decoderBlock(block: Block, x: tf.Tensor2D, needsDx: boolean): tf.Tensor2D {
  const factors = Object.values(block.lora).flatMap(({ a, b }) => [a, b])
  if (!needsDx && factors.length === 0) return tf.tidy(() => blockOutput(block, x))
  const node = tf.customGrad((...args) => {
    const save = args.at(-1) as tf.GradSaveFunc
    const { product, kept } = trainingPass(block, x)
    const { tensors, back } = block.context.gradientCheckpointing ? onlyInput(block, x) : waiting(kept, block.context)
    save(tensors)
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]): tf.Tensor[] =>
      blockGradient(block, { dy: dy as tf.Tensor2D, kept: back(saved), needsDx })
    return { value: linear(block, "down", product, kept.middle), gradFunc }
  })
  return node(...(needsDx ? [x] : []), ...factors) as tf.Tensor2D
}

/** Gradient checkpointing: the rest is computed again. */
function onlyInput(block: Block, x: tf.Tensor2D): Waiting {
  const back = ([x]: readonly tf.Tensor[]): BlockActivations =>
    tf.tidy(() => ({ ...trainingPass(block, x as tf.Tensor2D).kept })) as BlockActivations
  return { tensors: [x], back }
}

function blockOutput(block: Block, x: tf.Tensor2D): tf.Tensor2D {
  const { middle } = attentionHalf(block, x)
  return linear(block, "down", activated(block.context.config, mlpInner(block, middle)), middle)
}

/** All but the last product, whose input is `product`, with what the gradient needs. */
function trainingPass(block: Block, x: tf.Tensor2D): { product: tf.Tensor2D; kept: BlockActivations } {
  const half = attentionHalf(block, x)
  const { product, kept } = activatedAndKept(block.context.config, mlpInner(block, half.middle), block.context)
  return { product, kept: { ...half, ...kept } }
}

function attentionHalf(block: Block, x: tf.Tensor2D): AttentionActivations {
  const { config, offsets, positions, precision, rope: table } = block.context
  const { attention, attentionNorm, qNorm, kNorm } = block.weights
  const input = norm(x, attentionNorm, config.normEps)
  const [rawQ, rawK, v] = queryKeyValue(block, input)
  const turned = (raw: tf.Tensor2D, weights: NormWeights | undefined): tf.Tensor2D => {
    const x = weights ? norm(raw, weights, config.normEps) : raw
    return table ? rope(x, table, positions) : x
  }
  const [q, k] = [turned(rawQ, qNorm), turned(rawK, kNorm)]
  const attended = block.attend
    ? block.attend({ q, k, v })
    : causalAttention({ q, k, v }, { ...attention, offsets, precision })
  const middle = linear(block, "o", attended, x)
  return { x, ...(qNorm && { rawQ }), ...(kNorm && { rawK }), q, k, v, attended, middle }
}

function mlpInner(block: Block, middle: tf.Tensor2D): MlpInner {
  const input = norm(middle, block.weights.mlpNorm, block.context.config.normEps)
  const gate = block.weights.linears.gate && linear(block, "gate", input)
  return { ...(gate && { gate }), up: linear(block, "up", input) }
}

/** q (T, heads·headDim), k and v (T, kvHeads·headDim), of one linear or three. */
function queryKeyValue(block: Block, input: tf.Tensor2D): [tf.Tensor2D, tf.Tensor2D, tf.Tensor2D] {
  if (!block.weights.linears.qkv)
    return [linear(block, "q", input), linear(block, "k", input), linear(block, "v", input)]
  const { heads, kvHeads, headDim } = block.context.config
  const widths = [heads * headDim, kvHeads * headDim, kvHeads * headDim]
  return tf.split(linear(block, "qkv", input), widths, 1) as [tf.Tensor2D, tf.Tensor2D, tf.Tensor2D]
}

/** [plus +] the linear layer of that name. */
function linear({ context, weights, lora }: Block, name: LinearName, x: tf.Tensor2D, plus?: tf.Tensor2D): tf.Tensor2D {
  return quantLoraLinear({ x, ...weights.linears[name]!, lora: lora[name], plus, precision: context.precision })
}
