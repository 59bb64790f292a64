import * as tf from "@tensorflow/tfjs-core"

import { adamwReference } from "./adamw.js"
import { cachedAttentionReference } from "./cached-attention.js"
import { causalAttentionGradReference, causalAttentionReference } from "./causal-attention.js"
import { embeddingReference } from "./embedding.js"
import { geluGradReference, geluReference } from "./gelu.js"
import { keepReference } from "./keep.js"
import { layerNormGradReference, layerNormReference } from "./layer-norm.js"
import { lmHeadCrossEntropyReference } from "./lm-head-cross-entropy.js"
import { quantLoraLinearGradReference, quantLoraLinearReference } from "./quant-lora-linear.js"
import { rmsNormGradReference, rmsNormReference } from "./rms-norm.js"
import { ropeReference } from "./rope.js"
import {
  swigluGradOfKeptReference,
  swigluGradReference,
  swigluKeepReference,
  swigluOfKeptReference,
  swigluReference,
} from "./swiglu.js"

type Inputs = Record<string, tf.Tensor2D>
type Reference = (inputs: never, attrs: never) => tf.Tensor | tf.Tensor[]

/**
 * Every kernel of kernel-args.ts in plain tfjs ops: the readable truth the fast ones are tested against, and what runs
 * on backends that have none. Always f32: attribute `precision` permits a backend to compute in bf16 and does not
 * oblige it.
 */
const REFERENCES: Record<string, Reference> = {
  QuantLoraLinear: quantLoraLinearReference,
  QuantLoraLinearGrad: quantLoraLinearGradReference,
  RmsNorm: rmsNormReference,
  RmsNormGrad: rmsNormGradReference,
  LayerNorm: layerNormReference,
  LayerNormGrad: layerNormGradReference,
  Rope: ropeReference,
  CausalAttention: causalAttentionReference,
  CausalAttentionGrad: causalAttentionGradReference,
  CachedAttention: cachedAttentionReference,
  Swiglu: swigluReference,
  SwigluGrad: swigluGradReference,
  SwigluKeep: swigluKeepReference,
  SwigluOfKept: swigluOfKeptReference,
  SwigluGradOfKept: swigluGradOfKeptReference,
  Keep: keepReference,
  Kept: keepReference,
  Gelu: geluReference,
  GeluGrad: geluGradReference,
  Embedding: embeddingReference,
  LmHeadCrossEntropy: lmHeadCrossEntropyReference,
  AdamW: adamwReference,
}

/** Registers the reference kernels for a tfjs backend, where none of that name is registered yet. */
export function registerReferenceKernels(backendName: string): void {
  for (const [kernelName, reference] of Object.entries(REFERENCES)) {
    if (tf.getKernel(kernelName, backendName)) continue
    tf.registerKernel({
      kernelName,
      backendName,
      kernelFunc: ({ inputs, attrs }) =>
        tf.tidy(() =>
          (reference as (inputs: Inputs, attrs: unknown) => tf.Tensor | tf.Tensor[])(
            inputs as unknown as Inputs,
            attrs,
          ),
        ),
    })
  }
}
