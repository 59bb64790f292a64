import * as tf from "@tensorflow/tfjs-core"

import { addon } from "./addon.js"
import { NativeBackend } from "./backend.js"
import { adamwNative } from "./kernels/adamw.js"
import { addNative, addNNative } from "./kernels/add.js"
import { cachedAttentionNative, causalAttentionGradNative, causalAttentionNative } from "./kernels/causal-attention.js"
import { embeddingNative } from "./kernels/embedding.js"
import { geluGradNative, geluNative } from "./kernels/gelu.js"
import { identityNative, reshapeNative } from "./kernels/identity.js"
import { keepNative, keptNative } from "./kernels/keep.js"
import type { NativeKernel } from "./kernels/kernel.js"
import { layerNormNative } from "./kernels/layer-norm.js"
import { lmHeadCrossEntropyNative } from "./kernels/lm-head-cross-entropy.js"
import { layerNormGradNative, rmsNormGradNative } from "./kernels/norm-gradient.js"
import { quantLoraLinearGradNative, quantLoraLinearNative } from "./kernels/quant-lora-linear.js"
import { rmsNormNative } from "./kernels/rms-norm.js"
import { ropeNative } from "./kernels/rope.js"
import {
  swigluGradNative,
  swigluGradOfKeptNative,
  swigluKeepNative,
  swigluNative,
  swigluOfKeptNative,
} from "./kernels/swiglu.js"

const KERNELS: Record<string, NativeKernel> = {
  QuantLoraLinear: quantLoraLinearNative,
  QuantLoraLinearGrad: quantLoraLinearGradNative,
  RmsNorm: rmsNormNative,
  RmsNormGrad: rmsNormGradNative,
  LayerNorm: layerNormNative,
  LayerNormGrad: layerNormGradNative,
  Rope: ropeNative,
  CausalAttention: causalAttentionNative,
  CausalAttentionGrad: causalAttentionGradNative,
  CachedAttention: cachedAttentionNative,
  Swiglu: swigluNative,
  SwigluGrad: swigluGradNative,
  SwigluKeep: swigluKeepNative,
  SwigluOfKept: swigluOfKeptNative,
  SwigluGradOfKept: swigluGradOfKeptNative,
  Keep: keepNative,
  Kept: keptNative,
  Gelu: geluNative,
  GeluGrad: geluGradNative,
  Embedding: embeddingNative,
  LmHeadCrossEntropy: lmHeadCrossEntropyNative,
  AdamW: adamwNative,
  Add: addNative,
  AddN: addNNative,
  Identity: identityNative,
  Reshape: reshapeNative,
}

/**
 * Registers tfjs backend `native`, once: every kernel of kernel-args.ts and residual sums in C++, the cpu backend's
 * kernels for the rest (they must be registered). Throws KERNEL_UNAVAILABLE where the addon does not load.
 */
export function registerNativeBackend(): void {
  const native = addon()
  if (tf.findBackendFactory("native")) return
  tf.registerBackend("native", () => new NativeBackend())
  for (const [kernelName, kernel] of Object.entries(KERNELS))
    tf.registerKernel({
      kernelName,
      backendName: "native",
      kernelFunc: ({ inputs, backend, attrs }) =>
        kernel({ inputs: inputs as never, attrs: attrs as never, backend: backend as NativeBackend, addon: native }),
    })
  for (const config of tf.getKernelsForBackend("cpu"))
    if (!tf.getKernel(config.kernelName, "native")) tf.registerKernel({ ...config, backendName: "native" })
}
