import * as tf from "@tensorflow/tfjs-core"

import type { AttentionAttrs } from "../ops/kernel-args.js"

interface AttentionInputs {
  readonly q: tf.Tensor2D
  readonly k: tf.Tensor2D
  readonly v: tf.Tensor2D
}

type GradInputs = AttentionInputs & { readonly dy: tf.Tensor2D }
type HeadGradient = Record<"dq" | "dk" | "dv", tf.Tensor2D>

interface MaskShape {
  readonly rows: number
  readonly past: number
  readonly window?: number | undefined
}

/** Rows and columns of one head in one segment. */
interface Part {
  readonly start: number
  readonly tokens: number
  readonly column: number
  readonly headDim: number
}

/**
 * Kernel `CausalAttention`, one segment and one head after another: P = softmax(scale·q·kᵀ + causal mask), y = P·v.
 * Vaswani et al. 2017 (arXiv:1706.03762), equation 1. Holds the scores of one segment and head at a time, not in blocks
 * as the fast ones.
 */
export function causalAttentionReference(inputs: AttentionInputs, attrs: AttentionAttrs): tf.Tensor2D {
  const segments = segmentsOf(attrs).map(({ start, tokens }) => {
    const heads = range(attrs.heads).map((head) =>
      tf.tidy((): tf.Tensor2D => {
        const { v, probabilities } = attend(inputs, attrs, head, { start, tokens })
        return tf.matMul(probabilities, v)
      }),
    )
    return sideBySide(heads)
  })
  return tf.concat(segments, 0)
}

/**
 * Kernel `CausalAttentionGrad`: dv = Pᵀ·dy, dP = dy·vᵀ, dS = P ∘ (dP - rowsum(dP ∘ P)), dq = scale·dS·k, dk =
 * scale·dSᵀ·q; key heads sum over the query heads that read them. Dao et al. 2022 (arXiv:2205.14135), appendix B.2.
 */
export function causalAttentionGradReference(inputs: GradInputs, attrs: AttentionAttrs): tf.Tensor[] {
  const group = attrs.heads / attrs.kvHeads
  const segments = segmentsOf(attrs).map((rows): HeadGradient => {
    const heads = range(attrs.heads).map((head) => tf.tidy(() => headGradient(inputs, attrs, head, rows)))
    const readers = range(attrs.kvHeads).map((kvHead) => heads.slice(kvHead * group, (kvHead + 1) * group))
    return {
      dq: sideBySide(heads.map(({ dq }) => dq)),
      dk: sideBySide(readers.map((head) => tf.addN(head.map(({ dk }) => dk)))),
      dv: sideBySide(readers.map((head) => tf.addN(head.map(({ dv }) => dv)))),
    }
  })
  const names = ["dq", "dk", "dv"] as const
  return names.map((name) => segments.map((gradients) => gradients[name])).map((parts) => tf.concat(parts, 0))
}

function headGradient(
  inputs: GradInputs,
  attrs: AttentionAttrs,
  head: number,
  rows: { start: number; tokens: number },
): HeadGradient {
  const { q, k, v, probabilities } = attend(inputs, attrs, head, rows)
  const dy = part(inputs.dy, { ...rows, column: head, headDim: attrs.headDim })
  const dProbabilities = tf.matMul(dy, v, false, true)
  const rowSums = tf.sum(tf.mul(dProbabilities, probabilities), 1, true)
  const dScores: tf.Tensor2D = tf.mul(tf.mul(probabilities, tf.sub(dProbabilities, rowSums)), attrs.scale)
  return {
    dq: tf.matMul(dScores, k),
    dk: tf.matMul(dScores, q, true, false),
    dv: tf.matMul(probabilities, dy, true, false),
  }
}

/** q, k, v (n, headDim) and softmax probabilities (n, n) of one query head in one segment of n tokens. */
function attend(
  { q, k, v }: AttentionInputs,
  { heads, kvHeads, headDim, scale, window }: AttentionAttrs,
  head: number,
  rows: { start: number; tokens: number },
): AttentionInputs & { probabilities: tf.Tensor2D } {
  const kvHead = Math.floor((head * kvHeads) / heads)
  const query = part(q, { ...rows, column: head, headDim })
  const key = part(k, { ...rows, column: kvHead, headDim })
  const scores: tf.Tensor2D = tf.add(
    tf.mul(tf.matMul(query, key, false, true), scale),
    causalMask({ rows: rows.tokens, past: 0, window }),
  )
  return {
    q: query,
    k: key,
    v: part(v, { ...rows, column: kvHead, headDim }),
    probabilities: tf.softmax(scores),
  }
}

/** (rows, past + rows) for tokens `past` and later: 0 where a row's token sees a column's, -Infinity elsewhere. */
export function causalMask({ rows, past, window = Infinity }: MaskShape): tf.Tensor2D {
  const width = past + rows
  const mask = new Float32Array(rows * width).fill(-Infinity)
  for (let row = 0; row < rows; row++) {
    const end = past + row + 1
    mask.fill(0, row * width + Math.max(0, end - window), row * width + end)
  }
  return tf.tensor2d(mask, [rows, width])
}

function sideBySide(heads: tf.Tensor2D[]): tf.Tensor2D {
  return tf.concat(heads, 1)
}

function part(x: tf.Tensor2D, { start, tokens, column, headDim }: Part): tf.Tensor2D {
  return tf.slice(x, [start, column * headDim], [tokens, headDim])
}

function segmentsOf({ offsets }: AttentionAttrs): { start: number; tokens: number }[] {
  return range(offsets.length - 1).map((s) => ({ start: offsets[s]!, tokens: offsets[s + 1]! - offsets[s]! }))
}

function range(length: number): number[] {
  return Array.from({ length }, (_, index) => index)
}
