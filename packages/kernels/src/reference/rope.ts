import * as tf from "@tensorflow/tfjs-core"

import type { RopeAttrs } from "../ops/kernel-args.js"

/**
 * Kernel `Rope`. Su et al. 2021 (arXiv:2104.09864), section 3.2, with the halves of a head paired as transformers'
 * Llama does.
 */
export function ropeReference({ x }: { x: tf.Tensor2D }, attrs: RopeAttrs): tf.Tensor2D {
  const { headDim, inverse } = attrs
  const [tokens, width] = x.shape
  const half = headDim / 2
  const heads = width / headDim
  const cos = angles(attrs.cos, attrs)
  const sin = inverse ? tf.neg(angles(attrs.sin, attrs)) : angles(attrs.sin, attrs)
  const pairs = tf.reshape(x, [tokens, heads, headDim])
  const first = tf.slice(pairs, [0, 0, 0], [tokens, heads, half])
  const second = tf.slice(pairs, [0, 0, half], [tokens, heads, half])
  const turned = [tf.sub(tf.mul(first, cos), tf.mul(second, sin)), tf.add(tf.mul(second, cos), tf.mul(first, sin))]
  return tf.reshape(tf.concat(turned, 2), [tokens, width])
}

/** Rows of the table at the tokens' positions, (T,1,headDim/2). */
function angles(table: Float32Array, { positions, headDim }: RopeAttrs): tf.Tensor3D {
  const half = headDim / 2
  const rows = new Float32Array(positions.length * half)
  for (const [token, position] of positions.entries())
    rows.set(table.subarray(position * half, (position + 1) * half), token * half)
  return tf.tensor3d(rows, [positions.length, 1, half])
}
