import type { FrozenFactors, FrozenWeight } from "../frozen.js"

/**
 * The contract between an op and its implementations: tfjs kernel names with their inputs (tensors, f32, rank 2 unless
 * said otherwise) and attributes. `reference/` implements each in plain tfjs ops for every backend; `native/` overrides
 * it for backend `native`. Letters: T tokens (all sequences of a batch, one after another), M out features, N in
 * features, R rank, H heads, D hidden, V vocabulary.
 */

/**
 * Arithmetic of the frozen products (base and global adapter): f32 throughout; bf16 inputs with f32 sums; or int8: both
 * inputs rounded to 255 levels, the left one with a scale per row, the right one with a scale per column, each anew for
 * every piece of at most 576 of the summed index, exact sums in a piece, f32 over pieces (W8A8 with dynamic scales:
 * arXiv:2208.07339; also for dx: arXiv:2304.13013). A rounded value is off by at most max|row| / 254. Attention
 * multiplies in bf16 for both; everything else is always f32. Where a processor lacks the unit for one, the next more
 * exact one computes it (`describeKernels`); the reference kernels are exact in all three.
 */
export type Precision = "f32" | "bf16" | "int8"

/**
 * `QuantLoraLinear`: inputs x (T,N), a? (R,N), b? (M,R), plus? (T,M) -> y (T,M) = [plus +] x·Wᵀ + bias +
 * (x·A_Gᵀ)·B_Gᵀ + scale·(drop(x)·Aᵀ)·Bᵀ. `QuantLoraLinearGrad`: inputs dy (T,M), x, a?, b?, plus? (T,N) -> [dx (T,N),
 * da, db], dx with `plus` added; dx is left out when `needsDx` is false, da and db when there is no adapter (the array
 * then holds only what is left, in this order).
 * Hu et al. 2021 (arXiv:2106.09685), equation 3; the frozen term is Lamina's global adapter.
 */
export interface LinearAttrs {
  readonly weight: FrozenWeight
  readonly bias?: Float32Array
  readonly global?: FrozenFactors
  /** s = alpha / r, or alpha / sqrt(r). */
  readonly scale: number
  /** Probability that an element of x is zeroed for the LoRA branch (the rest is scaled by 1 / (1 - p)); 0: none. */
  readonly dropout: number
  /**
   * uint32; element i of x is dropped iff `dropHash(seed, i) < p * 2^32` (drop-hash.ts has it to the bit), the same on
   * every backend.
   */
  readonly dropoutSeed: number
  readonly precision: Precision
}
export interface LinearGradAttrs extends LinearAttrs {
  readonly needsDx: boolean
}

/**
 * `RmsNorm`: x (T,D) -> x / sqrt(mean(x²) + eps) * weight. `RmsNormGrad`: dy, x, plus? -> [plus +] dx. Zhang &
 * Sennrich 2019 (arXiv:1910.07467), eq. 4.
 */
export interface RmsNormAttrs {
  readonly weight: Float32Array
  readonly eps: number
}

/**
 * `Rope`: x (T, heads*headDim) -> the same shape; pairs (i, i + headDim/2) of each head turned by the angle of
 * (position, i), as transformers' Llama does. `inverse` turns back: it is the gradient. Su et al. 2021
 * (arXiv:2104.09864).
 */
export interface RopeAttrs {
  readonly headDim: number
  /** (T) position of each token inside its segment. */
  readonly positions: Int32Array
  /** cos and sin, (P, headDim/2) for positions 0..P-1; scaling rules are in the table. */
  readonly cos: Float32Array
  readonly sin: Float32Array
  readonly inverse: boolean
}

/**
 * `CausalAttention`: q (T, H*headDim), k and v (T, Hk*headDim) -> (T, H*headDim); query head h reads key head floor(h *
 * Hk / H). A token sees itself and earlier tokens of its own segment, at most `window` in all.
 * `CausalAttentionGrad`: dy, q, k, v -> [dq, dk, dv]; recomputes what it needs, the (T,T) matrix never exists as a
 * whole. Dao et al. 2022 (arXiv:2205.14135), algorithms 1 and 4.
 */
export interface AttentionAttrs {
  readonly heads: number
  readonly kvHeads: number
  readonly headDim: number
  /** (S+1) rising row offsets; segment s is rows offsets[s] .. offsets[s+1]-1; offsets[0] = 0, the last is T. */
  readonly offsets: Int32Array
  /** Softmax scale, 1 / sqrt(headDim) for Llama. */
  readonly scale: number
  /** f32 (the default), or the products' inputs rounded to bf16; softmax and sums are f32 in both. */
  readonly precision?: Precision
  /** A token sees itself and the window - 1 tokens before it (Mistral, arXiv:2310.06825); left out: all before it. */
  readonly window?: number
}

/**
 * `CachedAttention`: q (n, H*headDim) of the n tokens at positions past .. past+n-1 of one sequence -> (n, H*headDim);
 * who sees whom is as in `CausalAttention`. Forward only: what decoding runs.
 */
export interface CachedAttentionAttrs extends Omit<AttentionAttrs, "offsets" | "precision"> {
  /** Keys and values, (capacity, Hk*headDim) each, that hold positions 0 .. past+n-1; only read. */
  readonly keys: Float32Array
  readonly values: Float32Array
  /** Tokens before the first of q. */
  readonly past: number
}

/**
 * `Swiglu`: gate (T,F), up (T,F) -> silu(gate) * up. `SwigluGrad`: dy, gate, up -> [dgate, dup]. Shazeer 2020
 * (arXiv:2002.05202). No attributes.
 */
export type SwigluAttrs = Record<string, never>

/**
 * For activations that wait for the gradient. `Keep`: x -> x in a form that only the backend knows: itself, or where
 * `precision` rounds the inputs of products anyway, rounded to bf16 in half the memory. `Kept`: that -> x (`shape`).
 */
export interface KeepAttrs {
  readonly precision: Precision
}
export interface KeptAttrs extends KeepAttrs {
  readonly shape: readonly [number, number]
}

/**
 * SwiGLU for a block that computes its gradient itself. `SwigluKeep`: gate, up (T,F) -> [silu(gate) * up, ...kept], one
 * or two tensors in a form that only the backend knows: gate and up as they are, or where `precision` rounds the inputs
 * of products anyway, rounded to bf16 in half the memory. They go by the names of SwigluKept into `SwigluOfKept` ->
 * silu(gate) * up, and with dy into `SwigluGradOfKept` -> [dgate, dup].
 */
export interface SwigluKeepAttrs {
  readonly precision: Precision
}
export interface SwigluKept<Tensor> {
  readonly first: Tensor
  readonly second?: Tensor
}

/**
 * `LayerNorm`: x (T,D) -> (x - mean) / sqrt(variance + eps) * weight + bias. `LayerNormGrad`: dy, x, plus? -> [plus +]
 * dx. Ba et al. 2016 (arXiv:1607.06450), equation 4.
 */
export interface LayerNormAttrs {
  readonly weight: Float32Array
  readonly bias: Float32Array
  readonly eps: number
}

/**
 * `Gelu`: x (T,F) -> x · Phi(x), Phi the normal distribution's, or with `tanh` the form with tanh that GPT-2 has.
 * `GeluGrad`: dy, x -> dx. Hendrycks & Gimpel 2016 (arXiv:1606.08415).
 */
export interface GeluAttrs {
  readonly tanh: boolean
}

/**
 * `Embedding`: no inputs -> (T,D), row ids[t] of the frozen table. Ids are checked against V before any read
 * (KERNEL_SHAPE).
 */
export interface EmbeddingAttrs {
  readonly ids: Int32Array
  readonly weight: FrozenWeight
}

/**
 * `LmHeadCrossEntropy`: x (T,D) -> [loss (scalar), accuracy (scalar), dx (T,D)]. loss = mean over targets >= 0 of
 * -log softmax(x·Wᵀ)[target]; target -1 is not counted. accuracy = the share of them whose logit no other exceeds.
 * dx is d loss / d x, computed on the way (chunk by chunk: logits of all tokens never exist at once); left out when
 * `needsDx` is false. No counted target: all are 0.
 */
export interface LmHeadAttrs {
  readonly weight: FrozenWeight
  readonly targets: Int32Array
  readonly needsDx: boolean
  readonly precision: Precision
}

/**
 * `AdamW`: no inputs, no outputs, these arguments as attributes. One step, in place on plain arrays (D elements each).
 * Loshchilov & Hutter 2019 (arXiv:1711.05101), algorithm 2, as torch.optim.AdamW.
 */
export interface AdamwArgs {
  readonly param: Float32Array
  readonly grad: Float32Array
  readonly m: Float32Array
  readonly v: Float32Array
  readonly learningRate: number
  readonly beta1: number
  readonly beta2: number
  readonly eps: number
  readonly weightDecay: number
  /** 1 for the first step. */
  readonly step: number
  /** The gradient is multiplied by this first (global-norm clipping, accumulation). */
  readonly gradScale: number
}
