import type { Adapter } from "@lamina/protocol"
import { LaminaError } from "@lamina/protocol/errors"

import type { Base } from "../api.js"
import { foldAdapters } from "./lora.js"
import { mergedLinear } from "./merged-linear.js"

/**
 * `base` with W + s·B·A in place of W for every module of `adapter`, as FLoRA merges after each round (Wang et al.
 * 2024, arXiv:2409.05976); nothing is written to `base`, whose other arrays are shared. The sum is
 * rounded to the linear's own format, f32, f16 or bf16. PLAN_UNSUPPORTED for a quantized linear, where the update
 * would be rounded away; ADAPTER_MISMATCH.
 */
export function mergeAdapter(base: Base, adapter: Adapter): Base {
  const linears = { ...base.linears }
  for (const [name, term] of Object.entries(foldAdapters(base, [adapter]))) {
    const weight = base.linears[name]
    const format = weight?.format
    if (weight === undefined || (format !== "f32" && format !== "f16" && format !== "bf16"))
      throw new LaminaError(
        "PLAN_UNSUPPORTED",
        `module ${name}: expected f32, f16 or bf16 weights to merge the global adapter into, got ${format}`,
        { hint: "hold the base as f32 or bf16, or leave the global adapter unmerged" },
      )
    linears[name] = mergedLinear(name, { weight, term, type: format })
  }
  return { ...base, linears }
}
