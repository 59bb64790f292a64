import * as tf from "@tensorflow/tfjs-core"

import { expectShape, KernelError } from "../errors.js"
import { checkFrozen } from "../frozen.js"
import type { FrozenFactors, FrozenWeight } from "../frozen.js"
import { gradientGroup } from "./gradient-group.js"
import type { LinearAttrs, Precision } from "./kernel-args.js"
import { runMany, runOne } from "./run-kernel.js"

/** The trained low-rank term of a linear layer; gradients flow to `a` and `b`. */
export interface LoraTerm {
  /** A (R,N). */
  readonly a: tf.Tensor2D
  /** B (M,R). */
  readonly b: tf.Tensor2D
  /** s = alpha / r, or alpha / sqrt(r). */
  readonly scale: number
  /** Probability in 0..1 (exclusive) that an element of x is dropped for this term; default 0. */
  readonly dropout?: number
  /** uint32; a new one per layer and step. */
  readonly dropoutSeed?: number
}

export interface QuantLoraLinearArgs {
  /** (T,N). */
  readonly x: tf.Tensor2D
  /** W (M,N). */
  readonly weight: FrozenWeight
  /** (M). */
  readonly bias?: Float32Array
  /** The federation's global adapter for this layer. */
  readonly global?: FrozenFactors
  readonly lora?: LoraTerm
  /** (T,M), added to the result. */
  readonly plus?: tf.Tensor2D
  /** Default f32. */
  readonly precision?: Precision
}

/**
 * y (T,M) = [plus +] x·Wᵀ + bias + (x·A_Gᵀ)·B_Gᵀ + scale·(drop(x)·Aᵀ)·Bᵀ. Gradients reach x, A, B and plus; that of x
 * is computed only when something before this layer is trained. Hu et al. 2021 (arXiv:2106.09685), equation 3. Throws
 * KERNEL_SHAPE.
 */
export function quantLoraLinear({
  x,
  weight,
  bias,
  global,
  lora,
  plus,
  precision = "f32",
}: QuantLoraLinearArgs): tf.Tensor2D {
  checkFrozen("weight", weight)
  const { rows: outFeatures, cols: inFeatures } = weight
  expectShape("x", [x.shape[0], inFeatures], x.shape)
  if (bias) expectShape("bias", outFeatures, bias.length)
  if (global) {
    expectShape("global.a", global.rank * inFeatures, global.a.length)
    expectShape("global.b", outFeatures * global.rank, global.b.length)
  }
  if (plus) expectShape("plus", [x.shape[0], outFeatures], plus.shape)
  const dropout = lora?.dropout ?? 0
  if (lora) {
    expectShape("lora.a", [lora.a.shape[0], inFeatures], lora.a.shape)
    expectShape("lora.b", [outFeatures, lora.a.shape[0]], lora.b.shape)
    if (!(dropout >= 0 && dropout < 1))
      throw new KernelError("KERNEL_SHAPE", `lora.dropout: expected 0 <= p < 1, got ${dropout}`)
  }
  const attrs: LinearAttrs = {
    weight,
    bias,
    global,
    scale: lora?.scale ?? 0,
    dropout,
    dropoutSeed: (lora?.dropoutSeed ?? 0) >>> 0,
    precision,
  }
  return runOne("QuantLoraLinear", { x, a: lora?.a, b: lora?.b, plus }, attrs)
}

/** Registered once per process by `registerGradients`. */
export const quantLoraLinearGradient: tf.GradConfig = {
  kernelName: "QuantLoraLinear",
  saveAllInputs: true,
  gradFunc: (dy, saved, attrs) => {
    const [x, ...rest] = saved
    const [a, b] = rest.length >= 2 ? rest : [] // beside x: nothing, plus, a and b, or all three
    const group = gradientGroup(["x", "a", "b"], (first) => {
      // Inputs are asked for in the order x, a, b: when a is the first, nothing before this layer is trained.
      const needsDx = first === "x"
      const gradients = runMany("QuantLoraLinearGrad", { dy: dy as tf.Tensor, x, a, b }, { ...attrs, needsDx })
      const [da, db] = needsDx ? gradients.slice(1) : gradients
      return { x: needsDx ? gradients[0] : undefined, a: da, b: db }
    })
    return { ...group, plus: () => tf.clone(dy as tf.Tensor) }
  },
}
