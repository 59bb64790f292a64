import * as tf from "@tensorflow/tfjs-core"

import type { LmHeadAttrs } from "../ops/kernel-args.js"
import { frozenTensor } from "./frozen-tensor.js"

/** Tokens whose logits exist at once: 64 rows of a vocabulary of 50k take 13 MB. */
const CHUNK_TOKENS = 64

/**
 * Kernel `LmHeadCrossEntropy`, in chunks of tokens. Per counted token loss = logsumexp(z) - z[target], z = x·Wᵀ, and
 * dz = softmax(z) - onehot(target), dx = dz·W / counted. Hsu et al. 2024 (arXiv:2410.10989), section 3, computes it the
 * same way.
 */
export function lmHeadCrossEntropyReference(
  { x }: { x: tf.Tensor2D },
  { weight, targets, needsDx }: LmHeadAttrs,
): tf.Tensor[] {
  const counted = targets.reduce((count, target) => count + (target >= 0 ? 1 : 0), 0)
  if (counted === 0) return [tf.scalar(0), tf.scalar(0), ...(needsDx ? [tf.zerosLike(x)] : [])]
  const w = frozenTensor(weight)
  const chunks = Array.from({ length: Math.ceil(targets.length / CHUNK_TOKENS) }, (_, index) =>
    tf.tidy(() => {
      const start = index * CHUNK_TOKENS
      const part = targets.subarray(start, start + CHUNK_TOKENS)
      return chunkLoss({ x: tf.slice(x, [start, 0], [part.length, weight.cols]), w, targets: part, counted, needsDx })
    }),
  )
  const loss = tf.addN(chunks.map((chunk) => chunk.loss))
  const accuracy = tf.addN(chunks.map((chunk) => chunk.accuracy))
  const dx = (): tf.Tensor =>
    tf.concat(
      chunks.map((chunk) => chunk.dx!),
      0,
    )
  return needsDx ? [loss, accuracy, dx()] : [loss, accuracy]
}

interface Chunk {
  readonly x: tf.Tensor2D
  readonly w: tf.Tensor2D
  readonly targets: Int32Array
  /** Counted targets of all chunks. */
  readonly counted: number
  readonly needsDx: boolean
}

type Scored = Readonly<Record<"loss" | "accuracy", tf.Tensor>> & { readonly dx: tf.Tensor2D | undefined }

function chunkLoss({ x, w, targets, counted, needsDx }: Chunk): Scored {
  const logits = tf.matMul(x, w, false, true)
  const shifted = tf.sub(logits, tf.max(logits, 1, true))
  const logSum = tf.log(tf.sum(tf.exp(shifted), 1, true))
  // Cast, not made as float32: backend wasm writes the bits of integers whatever type it is asked for.
  const onehot = tf.cast(tf.oneHot(tf.tensor1d(targets, "int32"), w.shape[0]), "float32")
  // (n,1): 1 / counted for counted tokens, 0 for the others
  const share = tf.tensor2d(
    Float32Array.from(targets, (target) => (target >= 0 ? 1 / counted : 0)),
    [targets.length, 1],
  )
  const target = tf.sum(tf.mul(shifted, onehot), 1, true) // 0 where no other logit is above it
  const loss = tf.sum(tf.mul(tf.sub(logSum, target), share))
  const accuracy = tf.sum(tf.mul(tf.cast(tf.greaterEqual(target, 0), "float32"), share))
  if (!needsDx) return { loss, accuracy, dx: undefined }
  const dLogits: tf.Tensor2D = tf.mul(tf.sub(tf.exp(tf.sub(shifted, logSum)), onehot), share)
  return { loss, accuracy, dx: tf.matMul(dLogits, w) }
}
