import type { AttentionAttrs, LinearGradAttrs, RopeAttrs } from "@lamina/kernels"
import * as tf from "@tensorflow/tfjs-core"

import { activatedAgain, activationGradient } from "./activation.js"
import type { Block, BlockActivations } from "./block.js"
import type { LinearName } from "./families/family.js"
import { norm, normGradient } from "./norm.js"
import type { NormWeights } from "./norm.js"
import { runKernel } from "./run-kernel.js"

/** [dA, dB] of each trained layer, filled in as the backward pass meets them. */
type FactorGradients = Map<LinearName, readonly tf.Tensor2D[]>

/**
 * The backward pass of decoderBlock: [dx if needsDx, then dA, dB of every trained layer in the order of `block.lora`].
 * Takes over `dy` and `kept` and disposes them, so that memory falls from block to block instead of at the end of the
 * tape.
 */
export function blockGradient(
  block: Block,
  pass: { dy: tf.Tensor2D; kept: BlockActivations; needsDx: boolean },
): tf.Tensor2D[] {
  const { dy, kept, needsDx } = pass
  const gradients = tf.tidy(() => {
    const factors: FactorGradients = new Map()
    const dMiddle = tidied(factors, () => mlpGradient(block, factors, dy, kept))
    const dx = tidied(factors, () => attentionGradient(block, factors, { dMiddle, kept, needsDx }))
    const ordered = (Object.keys(block.lora) as LinearName[]).flatMap((name) => factors.get(name) ?? [])
    return needsDx ? [dx, ...ordered] : ordered
  })
  for (const tensor of [dy, ...Object.values(kept)]) tensor.dispose()
  return gradients
}

/** d loss / d middle: straight on, and through the MLP and its norm. */
function mlpGradient(block: Block, factors: FactorGradients, dy: tf.Tensor2D, kept: BlockActivations): tf.Tensor2D {
  const { mlpNorm } = block.weights
  const { config } = block.context
  const product = activatedAgain(config, kept)
  const dProduct = linearGradient(block, factors, { name: "down", x: product, dy, needsDx: true })
  const inner = activationGradient(config, dProduct, kept)
  const input = norm(kept.middle, mlpNorm, config.normEps)
  const through = (name: LinearName, dy: tf.Tensor2D, plus?: tf.Tensor2D): tf.Tensor2D =>
    linearGradient(block, factors, { name, x: input, dy, plus, needsDx: true })
  const dInput = through("up", inner.up, inner.gate && through("gate", inner.gate))
  return normGradient({ dy: dInput, x: kept.middle, plus: dy }, mlpNorm, config.normEps)
}

/**
 * d loss / d x of the block: straight on, and through the attention and its norm; without `needsDx` only the factors'
 * gradients.
 */
function attentionGradient(
  block: Block,
  factors: FactorGradients,
  { dMiddle, kept, needsDx }: { dMiddle: tf.Tensor2D; kept: BlockActivations; needsDx: boolean },
): tf.Tensor2D {
  const { x, q, k, v, attended } = kept
  const { config, offsets, positions, precision, rope } = block.context
  const { attentionNorm, qNorm, kNorm } = block.weights
  const attention: AttentionAttrs = { ...block.weights.attention, offsets, precision }

  const dAttended = linearGradient(block, factors, { name: "o", x: attended, dy: dMiddle, needsDx: true })
  const [dq, dk, dv] = runKernel("CausalAttentionGrad", { dy: dAttended, q, k, v }, attention)
  const unturned = (dy: tf.Tensor2D, raw: tf.Tensor2D | undefined, weights: NormWeights | undefined): tf.Tensor2D => {
    const back = rope ? turnedBack(dy, { ...rope, positions, inverse: true }) : dy
    return raw && weights ? normGradient({ dy: back, x: raw }, weights, config.normEps) : back
  }
  const dqRaw = unturned(dq!, kept.rawQ, qNorm)
  const dkRaw = unturned(dk!, kept.rawK, kNorm)
  const input = norm(x, attentionNorm, config.normEps)
  const through = (name: LinearName, dy: tf.Tensor2D, plus?: tf.Tensor2D): tf.Tensor2D =>
    linearGradient(block, factors, { name, x: input, dy, plus: needsDx ? plus : undefined, needsDx })
  const dNormed = block.weights.linears.qkv
    ? through("qkv", tf.concat([dqRaw, dkRaw, dv!], 1))
    : through("v", dv!, through("k", dkRaw, through("q", dqRaw)))
  if (!needsDx) return dMiddle
  return normGradient({ dy: dNormed, x, plus: dMiddle }, attentionNorm, config.normEps)
}

function turnedBack(x: tf.Tensor2D, attrs: RopeAttrs): tf.Tensor2D {
  return runKernel("Rope", { x }, attrs)[0]!
}

interface LinearPass {
  readonly name: LinearName
  readonly x: tf.Tensor2D
  readonly dy: tf.Tensor2D
  readonly plus?: tf.Tensor2D
  readonly needsDx: boolean
}

/** Notes dA and dB of a trained layer; returns [plus +] dx, or dy itself when nothing asks for dx. */
function linearGradient(
  { context, weights, lora }: Block,
  factors: FactorGradients,
  { name, x, dy, plus, needsDx }: LinearPass,
): tf.Tensor2D {
  const term = lora[name]
  if (!term && !needsDx) return dy
  const attrs: LinearGradAttrs = {
    ...weights.linears[name]!,
    scale: term?.scale ?? 0,
    dropout: term?.dropout ?? 0,
    dropoutSeed: term?.dropoutSeed ?? 0,
    precision: context.precision,
    needsDx,
  }
  const inputs = { dy, x, ...(term && { a: term.a, b: term.b }), ...(plus && { plus }) }
  const gradients = runKernel("QuantLoraLinearGrad", inputs, attrs)
  if (term) factors.set(name, gradients.slice(-2))
  return needsDx ? gradients[0]! : dy
}

/** Drops what `compute` made but its result and the gradients in `factors`. */
function tidied(factors: FactorGradients, compute: () => tf.Tensor2D): tf.Tensor2D {
  const [result] = tf.tidy(() => {
    const value = compute()
    return [value, ...[...factors.values()].flat()]
  })
  return result!
}
