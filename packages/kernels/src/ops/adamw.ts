import { expectShape } from "../errors.js"
import type { AdamwArgs } from "./kernel-args.js"
import { runMany } from "./run-kernel.js"

/**
 * One AdamW step on `param`, `m` and `v`, in place; `grad` is only read. Loshchilov & Hutter 2019 (arXiv:1711.05101),
 * algorithm 2, with bias correction and epsilon where torch.optim.AdamW has them. Runs kernel `AdamW` of the active
 * backend (no inputs, no outputs, the arguments as attributes). On backends `cpu` and `native` a tensor made from a
 * Float32Array shares its memory, so a tf.Variable made from `param` sees the step. Throws KERNEL_SHAPE.
 */
export function adamw(args: AdamwArgs): void {
  const length = args.param.length
  expectShape("adamw grad", length, args.grad.length)
  expectShape("adamw m", length, args.m.length)
  expectShape("adamw v", length, args.v.length)
  runMany("AdamW", {}, args)
}
