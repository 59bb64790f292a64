export { KernelError } from "./errors.js"
export type { KernelErrorCode } from "./errors.js"
export { initKernels } from "./init.js"
export type { BackendName, KernelSetup } from "./init.js"
export { nativeAvailable, nativeProblem } from "./native/addon.js"
export { describeKernels } from "./native/describe.js"
export { mapFile } from "./native/map-file.js"
export type { MappedFile } from "./native/map-file.js"
export { nativeIsa } from "./native/isa.js"
export type { KernelDescription, KernelPeak } from "./native/describe.js"

export { allocateFrozen, checkFrozen, frozenArrays, frozenBytes, frozenOf, valuesOf } from "./frozen.js"
export type {
  FrozenArray,
  FrozenElement,
  FrozenFactors,
  FrozenOf,
  FrozenValues,
  FrozenWeight,
  WeightFormat,
} from "./frozen.js"
export { dequantize, dequantizeRow } from "./dequantize.js"
export { quantizationError, quantize, QUANTIZED_TO, Quantizer, requantize, squaredError } from "./quantize.js"
export type { DenseWeight, TargetFormat } from "./quantize.js"
export { decodeBf16, decodeF16, encodeBf16, encodeF16 } from "./float-bits.js"

export { adamw } from "./ops/adamw.js"
export { cachedAttention } from "./ops/cached-attention.js"
export type { CachedAttentionArgs } from "./ops/cached-attention.js"
export { causalAttention } from "./ops/causal-attention.js"
export type { CausalAttentionArgs } from "./ops/causal-attention.js"
export { embedding } from "./ops/embedding.js"
export { gelu } from "./ops/gelu.js"
export { releaseUnclaimedGradients } from "./ops/gradient-group.js"
export { layerNorm } from "./ops/layer-norm.js"
export { lmHeadCrossEntropy, lmHeadScores } from "./ops/lm-head-cross-entropy.js"
export type { LmHeadArgs } from "./ops/lm-head-cross-entropy.js"
export { quantLoraLinear } from "./ops/quant-lora-linear.js"
export type { LoraTerm, QuantLoraLinearArgs } from "./ops/quant-lora-linear.js"
export { rmsNorm } from "./ops/rms-norm.js"
export { rope } from "./ops/rope.js"
export type { RopeTable } from "./ops/rope.js"
export { swiglu } from "./ops/swiglu.js"
export type {
  AdamwArgs,
  AttentionAttrs,
  CachedAttentionAttrs,
  EmbeddingAttrs,
  GeluAttrs,
  KeepAttrs,
  KeptAttrs,
  LayerNormAttrs,
  LinearAttrs,
  LinearGradAttrs,
  LmHeadAttrs,
  Precision,
  RmsNormAttrs,
  RopeAttrs,
  SwigluAttrs,
  SwigluKeepAttrs,
  SwigluKept,
} from "./ops/kernel-args.js"
