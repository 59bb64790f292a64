import * as tf from "@tensorflow/tfjs-core"

import { causalAttentionGradient } from "./causal-attention.js"
import { coreGradients } from "./core-gradients.js"
import { geluGradient } from "./gelu.js"
import { layerNormGradient } from "./layer-norm.js"
import { lmHeadCrossEntropyGradient } from "./lm-head-cross-entropy.js"
import { quantLoraLinearGradient } from "./quant-lora-linear.js"
import { rmsNormGradient } from "./rms-norm.js"
import { ropeGradient } from "./rope.js"
import { swigluGradient } from "./swiglu.js"

/**
 * Registers the gradients of our ops and of the few tfjs ops a model needs between them; what is registered already
 * stays.
 */
export function registerGradients(): void {
  const ours = [
    quantLoraLinearGradient,
    rmsNormGradient,
    layerNormGradient,
    ropeGradient,
    causalAttentionGradient,
    swigluGradient,
    geluGradient,
    lmHeadCrossEntropyGradient,
  ]
  for (const gradient of [...ours, ...coreGradients])
    if (!tf.getGradient(gradient.kernelName)) tf.registerGradient(gradient)
}
