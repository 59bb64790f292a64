import type { BaseShape, ClientPlan } from "./api.js"

/** What decides how much memory a training run takes, beside the base's shape. */
interface MemoryUse extends Pick<ClientPlan, "precision" | "batch" | "gradientCheckpointing"> {
  readonly context: number
  /** First block with an adapter: blocks below keep nothing for the gradient. */
  readonly lowestLayer: number
  /** Numbers in A and B of all modules. */
  readonly parameters: number
  /** Numbers in A and B of the global adapter that lies frozen on the base. */
  readonly frozenParameters: number
}

/** A, B, gradient, and AdamW's two moments of each number, in f32. */
export const BYTES_PER_PARAMETER = 16

/** f32, as in the adapter's file; the training thread and its client share them. */
export const BYTES_PER_FROZEN_PARAMETER = 4

/**
 * Node, tfjs, tokenizer, kernel library and the head's scratch: what a training process takes beside everything that
 * grows with model or tokens. Fitted, with the next constant, to the peaks in memory-model.test.ts.
 */
const PROCESS_BYTES = 141 * 2 ** 20

/** Bytes in flight per token and per unit of width (hidden + ffn) in the block that is being computed: 13.5 f32. */
const WORKING_BYTES = 54

/**
 * Peak memory of one client's training process in bytes: base, frozen adapter, factors with gradients and moments,
 * activations that wait for the gradient, and what is in flight. For `--compute bf16` (the client's default) and
 * `int8`, where q, k, v, the attention's result, gate and up wait in 2 bytes and the residual streams in 4 (decision
 * 0011). With gradient checkpointing each block keeps its input, and one block at a time has all its activations
 * again.
 */
export function memoryBytes(base: BaseShape, use: MemoryUse): number {
  const { hidden, ffn, layers } = base
  const tokens = use.batch * use.context
  const blocks = layers - use.lowestLayer
  const whole = keptBytes(base)
  const keptPerToken = use.gradientCheckpointing ? blocks * 4 * hidden + whole : blocks * whole
  return (
    base.bytes[use.precision] +
    BYTES_PER_PARAMETER * use.parameters +
    BYTES_PER_FROZEN_PARAMETER * use.frozenParameters +
    PROCESS_BYTES +
    tokens * (keptPerToken + WORKING_BYTES * (hidden + ffn))
  )
}

/** Of one token in one block: x and middle in f32; q, attended, k, v, gate and up in 2 bytes. */
function keptBytes({ hidden, heads, kvHeads, headDim, ffn }: BaseShape): number {
  return 4 * 2 * hidden + 2 * (2 * heads * headDim + 2 * kvHeads * headDim + 2 * ffn)
}
