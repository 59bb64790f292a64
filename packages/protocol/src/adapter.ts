/**
 * LoRA factors as every package passes them on. One module is one linear layer y = W x of the base, W (M,N) with M =
 * out features and N = in features; its adapter adds s·B·A with A (R,N), B (M,R) (Hu et al. 2021, arXiv:2106.09685). A
 * and B are told apart by name, never by which side equals the rank; rank, alpha and scaling rule travel with every
 * module.
 */
export interface AdapterModule {
  /** Path of the linear layer inside the base as PEFT writes it, e.g. `model.layers.0.self_attn.q_proj`. */
  readonly name: string
  readonly outFeatures: number
  readonly inFeatures: number
  readonly rank: number
  readonly alpha: number
  readonly scaling: ScalingRule
  /** A, shape (rank, inFeatures), row-major. */
  readonly a: Float32Array
  /** B, shape (outFeatures, rank), row-major. */
  readonly b: Float32Array
}

/** `lora`: s = alpha / r; `rslora`: s = alpha / sqrt(r) (Kalajdzievski 2023, arXiv:2312.03732). */
export type ScalingRule = "lora" | "rslora"

/** Modules sorted by name (code-unit order), names unique. */
export interface Adapter {
  readonly modules: readonly AdapterModule[]
}

/** What a client submits: its adapter, and how much data stands behind it. */
export interface Update {
  readonly clientId: string
  /**
   * Tokens (or examples, as the recipe says) trained on; the weight p_k is this over the cohort's sum. Positive
   * integer.
   */
  readonly weight: number
  readonly adapter: Adapter
  /** The values were found finite before, and are not looked at again for that. */
  readonly finite?: boolean
}

/** s of one module: alpha / r or alpha / sqrt(r). */
export function scaleOf(module: { alpha: number; rank: number; scaling: ScalingRule }): number {
  return module.scaling === "rslora" ? module.alpha / Math.sqrt(module.rank) : module.alpha / module.rank
}

/** Numbers in A and B of these modules together; an update carries each in 4 bytes. */
export function factorCount(
  modules: readonly { readonly rank: number; readonly outFeatures: number; readonly inFeatures: number }[],
): number {
  return modules.reduce((sum, { rank, outFeatures, inFeatures }) => sum + rank * (outFeatures + inFeatures), 0)
}

/** Code-unit order, the order of modules and clients everywhere. */
export function compareNames(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0
}
