import type { BaseShape } from "./api.js"

/** What decides how long one token takes, beside the base's shape. */
interface TokenWork {
  readonly context: number
  /** First block with an adapter: blocks below have no backward pass. */
  readonly lowestLayer: number
  readonly parameters: number
  /** Numbers in A and B of the global adapter that lies frozen on the base. */
  readonly frozenParameters: number
  readonly gradientCheckpointing: boolean
}

/** Rank on every linear at which `DeviceProfile.tokensPerSecond` is measured. */
const REFERENCE_RANK = 16

/** The forward pass a second time, on top of one forward and a backward of the same cost and attention's 2.5. */
const CHECKPOINTING_COST = 1.33

/**
 * The adapters' products are thin and in f32: they take about 10 % of a step for 2.7 % of its FLOPs (bench/README.md,
 * "What stands between", rank 8).
 */
const ADAPTER_COST = 3

/** Per number of a frozen A and B: forward, and the gradient of the input. */
const FROZEN_FLOPS = 4

/** Backward pass of attention over its forward pass: five products for two. */
const ATTENTION_BACKWARD = 2.5

/**
 * FLOPs of one trained token, weighed by how fast they run: forward through everything, backward (only the gradient of
 * the input, the base is frozen) through the head and every block from the lowest with an adapter up, 6 per number of A
 * and B (forward, dA and dB, and the gradient of the input), and what a frozen adapter costs. Attention is causal: half
 * the context on average.
 */
export function tokenCost(base: Omit<BaseShape, "modules" | "bytes">, work: TokenWork): number {
  const { layers, hidden, vocabulary } = base
  const head = 2 * vocabulary * hidden
  const linears = 2 * hidden * (2 * base.heads * base.headDim + 2 * base.kvHeads * base.headDim + 3 * base.ffn)
  const attention = 2 * work.context * base.heads * base.headDim
  const forward = head + layers * (linears + attention)
  const backward = head + (layers - work.lowestLayer) * (linears + ATTENTION_BACKWARD * attention)
  const frozen = FROZEN_FLOPS * work.frozenParameters
  const once = forward + backward + frozen + 6 * ADAPTER_COST * work.parameters
  return work.gradientCheckpointing ? CHECKPOINTING_COST * once : once
}

/** tokenCost over that of the reference plan: every linear at rank 16, nothing computed twice. */
export function relativeCost(base: BaseShape, work: TokenWork): number {
  return tokenCost(base, work) / referenceCost(base, work.context)
}

/** tokenCost of the reference plan. */
export function referenceCost(base: Omit<BaseShape, "modules" | "bytes">, context: number): number {
  // out + in features of q and o, k and v, gate, up and down
  const { hidden, heads, kvHeads, headDim, ffn } = base
  const perBlock = 2 * (heads * headDim + hidden) + 2 * (kvHeads * headDim + hidden) + 3 * (ffn + hidden)
  const parameters = REFERENCE_RANK * base.layers * perBlock
  return tokenCost(base, { context, lowestLayer: 0, parameters, frozenParameters: 0, gradientCheckpointing: false })
}
