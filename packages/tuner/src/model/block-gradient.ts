import { rmsNorm, swiglu } from "@lamina/kernels"
import type { AttentionAttrs, LinearGradAttrs, RmsNormAttrs, RopeAttrs } from "@lamina/kernels"
import * as tf from "@tensorflow/tfjs-core"

import type { Block, BlockActivations } from "./block.js"
import type { LinearName } from "./module-slot.js"

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
  const { middle, gate, up } = kept
  const norm: RmsNormAttrs = { weight: block.weights.mlpNorm, eps: block.context.config.rmsEps }
  const dProduct = linearGradient(block, factors, { name: "down", x: swiglu(gate, up), dy, needsDx: true })
  const [dGate, dUp] = run("SwigluGrad", { dy: dProduct, gate, up }, {})
  const input = rmsNorm(middle, norm)
  const throughGate = linearGradient(block, factors, { name: "gate", x: input, dy: dGate!, needsDx: true })
  const throughUp = linearGradient(block, factors, { name: "up", x: input, dy: dUp!, needsDx: true })
  const [dNormed] = run("RmsNormGrad", { dy: tf.add(throughGate, throughUp), x: middle }, norm)
  return tf.add(dy, dNormed!)
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
  const { heads, kvHeads, headDim } = config
  const norm: RmsNormAttrs = { weight: block.weights.attentionNorm, eps: config.rmsEps }
  const scale = 1 / Math.sqrt(headDim)
  const attention: AttentionAttrs = { heads, kvHeads, headDim, offsets, scale, precision }
  const turnBack: RopeAttrs = { ...rope, positions, inverse: true }

  const dAttended = linearGradient(block, factors, { name: "o", x: attended, dy: dMiddle, needsDx: true })
  const [dq, dk, dv] = run("CausalAttentionGrad", { dy: dAttended, q, k, v }, attention)
  const [dqBack] = run("Rope", { x: dq! }, turnBack)
  const [dkBack] = run("Rope", { x: dk! }, turnBack)
  const input = rmsNorm(x, norm)
  const throughQ = linearGradient(block, factors, { name: "q", x: input, dy: dqBack!, needsDx })
  const throughK = linearGradient(block, factors, { name: "k", x: input, dy: dkBack!, needsDx })
  const throughV = linearGradient(block, factors, { name: "v", x: input, dy: dv!, needsDx })
  if (!needsDx) return dMiddle
  const [dNormed] = run("RmsNormGrad", { dy: tf.addN([throughQ, throughK, throughV]), x }, norm)
  return tf.add(dMiddle, dNormed!)
}

/** Notes dA and dB of a trained layer; returns dx, or dy itself when nothing asks for dx. */
function linearGradient(
  { context, weights, lora }: Block,
  factors: FactorGradients,
  { name, x, dy, needsDx }: { name: LinearName; x: tf.Tensor2D; dy: tf.Tensor2D; needsDx: boolean },
): tf.Tensor2D {
  const term = lora[name]
  if (!term && !needsDx) return dy
  const attrs: LinearGradAttrs = {
    ...weights.linears[name],
    scale: term?.scale ?? 0,
    dropout: term?.dropout ?? 0,
    dropoutSeed: term?.dropoutSeed ?? 0,
    precision: context.precision,
    needsDx,
  }
  const gradients = run("QuantLoraLinearGrad", term ? { dy, x, a: term.a, b: term.b } : { dy, x }, attrs)
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

/** Runs a kernel of kernel-args.ts; its outputs as a list. */
function run(name: string, inputs: Record<string, tf.Tensor>, attrs: object): tf.Tensor2D[] {
  const outputs = tf.engine().runKernel(name, inputs, attrs as unknown as tf.NamedAttrMap)
  return (Array.isArray(outputs) ? outputs : [outputs]) as tf.Tensor2D[]
}
