import * as tf from "@tensorflow/tfjs-core"

import { dropMask } from "../drop-hash.js"
import type { LinearAttrs, LinearGradAttrs } from "../ops/kernel-args.js"
import { frozenTensor } from "./frozen-tensor.js"

interface LinearInputs {
  readonly x: tf.Tensor2D
  readonly a?: tf.Tensor2D
  readonly b?: tf.Tensor2D
  readonly plus?: tf.Tensor2D
}

/** Kernel `QuantLoraLinear`. Hu et al. 2021 (arXiv:2106.09685), equation 3, plus bias and the frozen global term. */
export function quantLoraLinearReference({ x, a, b, plus }: LinearInputs, attrs: LinearAttrs): tf.Tensor2D {
  let y = timesTransposed(x, frozenTensor(attrs.weight))
  if (attrs.bias) y = tf.add(y, tf.tensor1d(attrs.bias))
  if (attrs.global) {
    const global = globalTensors(attrs)
    y = tf.add(y, timesTransposed(timesTransposed(x, global.a), global.b))
  }
  if (a && b) y = tf.add(y, tf.mul(timesTransposed(timesTransposed(drop(x, attrs), a), b), attrs.scale))
  return plus ? tf.add(plus, y) : y
}

/**
 * Kernel `QuantLoraLinearGrad`. With d = drop(x), h = d·Aᵀ: y_lora = s·h·Bᵀ, hence db = s·dyᵀ·h, dh = s·dy·B, da =
 * dhᵀ·d, and dx = [plus +] dy·W + (dy·B_G)·A_G + drop(dh·A).
 */
export function quantLoraLinearGradReference(
  { dy, x, a, b, plus }: LinearInputs & { readonly dy: tf.Tensor2D },
  attrs: LinearGradAttrs,
): tf.Tensor[] {
  const gradients: tf.Tensor[] = []
  const dh = b && tf.mul(tf.matMul(dy, b), attrs.scale)
  if (attrs.needsDx) {
    let dx = tf.matMul(dy, frozenTensor(attrs.weight))
    if (attrs.global) {
      const global = globalTensors(attrs)
      dx = tf.add(dx, tf.matMul(tf.matMul(dy, global.b), global.a))
    }
    if (a && dh) dx = tf.add(dx, drop(tf.matMul(dh, a), attrs))
    gradients.push(plus ? tf.add(plus, dx) : dx)
  }
  if (a && dh) {
    const dropped = drop(x, attrs)
    gradients.push(tf.matMul(dh, dropped, true, false))
    gradients.push(tf.mul(tf.matMul(dy, timesTransposed(dropped, a), true, false), attrs.scale))
  }
  return gradients
}

/** left (P,Q) · rightᵀ, right (S,Q) -> (P,S). */
function timesTransposed(left: tf.Tensor2D, right: tf.Tensor2D): tf.Tensor2D {
  return tf.matMul(left, right, false, true)
}

function globalTensors({ weight, global }: LinearAttrs): { a: tf.Tensor2D; b: tf.Tensor2D } {
  const { rank, a, b } = global!
  return { a: tf.tensor2d(a, [rank, weight.cols]), b: tf.tensor2d(b, [weight.rows, rank]) }
}

/** Inverted dropout: a linear map that is its own transpose, so gradients pass through the same mask. */
function drop(x: tf.Tensor2D, { dropout, dropoutSeed }: LinearAttrs): tf.Tensor2D {
  if (dropout === 0) return x
  return tf.mul(x, tf.tensor2d(dropMask(dropoutSeed, dropout, x.size), x.shape))
}
