import { causalAttention, quantLoraLinear, rmsNorm, rope, swiglu } from "@lamina/kernels"
import type { CausalAttentionArgs, FrozenFactors, FrozenWeight, LoraTerm, Precision, RopeTable } from "@lamina/kernels"
import * as tf from "@tensorflow/tfjs-core"

import type { ModelConfig } from "../api.js"
import { blockGradient } from "./block-gradient.js"
import type { LinearName } from "./module-slot.js"

/** What is frozen in one block. */
export interface BlockWeights {
  readonly attentionNorm: Float32Array
  readonly mlpNorm: Float32Array
  readonly linears: Readonly<Record<LinearName, { readonly weight: FrozenWeight; readonly global?: FrozenFactors }>>
}

/** Trained factors of the layers that have any. */
export type BlockAdapters = Readonly<Partial<Record<LinearName, LoraTerm>>>

/** How a block's tokens see each other: q, k, v as causalAttention takes them -> (T, heads·headDim). */
export type Attend = (qkv: CausalAttentionArgs) => tf.Tensor2D

/** What all blocks of one pass share. */
interface BlockContext {
  readonly config: ModelConfig
  readonly precision: Precision
  readonly rope: RopeTable
  readonly positions: Int32Array
  readonly offsets: Int32Array
}

/** One block of one pass: its frozen weights and trained factors. */
export interface Block {
  readonly context: BlockContext
  readonly weights: BlockWeights
  readonly lora: BlockAdapters
  /** In place of attention among the pass's own tokens; such a block has no gradient. */
  readonly attend?: Attend
}

/** What the gradient needs of a forward pass and cannot cheaply compute again; all (T, ...). */
export interface BlockActivations {
  readonly x: tf.Tensor2D
  readonly q: tf.Tensor2D
  readonly k: tf.Tensor2D
  readonly v: tf.Tensor2D
  readonly attended: tf.Tensor2D
  readonly middle: tf.Tensor2D
  readonly gate: tf.Tensor2D
  readonly up: tf.Tensor2D
}

/**
 * y = h + mlp(norm(h)), h = x + attention(norm(x)); x and y (T,D). One node of the tape: differentiable with respect
 * to the factors of `block.lora`, and to x when `needsDx`. Norms and the MLP's product are computed again for the
 * gradient instead of kept (Chen et al. 2016, arXiv:1604.06174): they are the larger half of the activations and cost
 * no matrix product.
 */
export function decoderBlock(block: Block, x: tf.Tensor2D, needsDx: boolean): tf.Tensor2D {
  const factors = Object.values(block.lora).flatMap(({ a, b }) => [a, b])
  if (!needsDx && factors.length === 0) return tf.tidy(() => forward(block, x).y)
  const node = tf.customGrad((...args) => {
    const save = args.at(-1) as tf.GradSaveFunc
    const { y, kept } = forward(block, x)
    const names = Object.keys(kept)
    save(Object.values(kept))
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]): tf.Tensor[] => {
      const activations = Object.fromEntries(names.map((name, i) => [name, saved[i]])) as unknown as BlockActivations
      return blockGradient(block, { dy: dy as tf.Tensor2D, kept: activations, needsDx })
    }
    return { value: y, gradFunc }
  })
  return node(...(needsDx ? [x] : []), ...factors) as tf.Tensor2D
}

function forward(block: Block, x: tf.Tensor2D): { y: tf.Tensor2D; kept: BlockActivations } {
  const { config, offsets, positions, precision, rope: table } = block.context
  const { heads, kvHeads, headDim } = config
  const attentionInput = rmsNorm(x, { weight: block.weights.attentionNorm, eps: config.rmsEps })
  const q = rope(linear(block, "q", attentionInput), table, positions)
  const k = rope(linear(block, "k", attentionInput), table, positions)
  const v = linear(block, "v", attentionInput)
  const scale = 1 / Math.sqrt(headDim)
  const attended = block.attend
    ? block.attend({ q, k, v })
    : causalAttention({ q, k, v }, { heads, kvHeads, headDim, offsets, scale, precision })
  const middle = tf.add(x, linear(block, "o", attended)) as tf.Tensor2D
  const mlpInput = rmsNorm(middle, { weight: block.weights.mlpNorm, eps: config.rmsEps })
  const gate = linear(block, "gate", mlpInput)
  const up = linear(block, "up", mlpInput)
  const y = tf.add(middle, linear(block, "down", swiglu(gate, up))) as tf.Tensor2D
  return { y, kept: { x, q, k, v, attended, middle, gate, up } }
}

function linear({ context, weights, lora }: Block, name: LinearName, x: tf.Tensor2D): tf.Tensor2D {
  return quantLoraLinear({ x, ...weights.linears[name], lora: lora[name], precision: context.precision })
}
