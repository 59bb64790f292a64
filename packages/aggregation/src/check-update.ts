import { firstBeyond } from "@lamina/kernels/linalg"
import { LIMITS } from "@lamina/protocol"
import type { AdapterModule, Plan, UpdateContent } from "@lamina/protocol"
import { LaminaError } from "@lamina/protocol/errors"

/** Whether one of these values may be NaN, or further than `max` from 0. */
type MayExceed = (values: Float32Array, max: number) => boolean

/**
 * An update against the plan its client was given: every planned module once, shapes, ranks and alphas as planned,
 * finite values within LIMITS.valueMax, a positive whole weight. `mayExceed` false: these values were seen to be.
 * Throws UPDATE_WEIGHT, UPDATE_MODULE, UPDATE_SHAPE, UPDATE_RANK or UPDATE_NOT_FINITE.
 */
export function checkUpdate(update: UpdateContent, plan: Plan, mayExceed: MayExceed = () => true): void {
  if (!Number.isSafeInteger(update.weight) || update.weight < 1 || update.weight > LIMITS.weightMax)
    throw new LaminaError(
      "UPDATE_WEIGHT",
      `expected a whole number from 1 to ${LIMITS.weightMax}, got ${update.weight}`,
    )
  const planned = new Map(plan.modules.map((module) => [module.name, module]))
  for (const module of update.adapter.modules) {
    const expected = planned.get(module.name)
    if (!expected) throw new LaminaError("UPDATE_MODULE", `module ${module.name} is not in the plan`)
    planned.delete(module.name)
    checkModule(module, expected, plan.scaling)
    for (const side of ["a", "b"] as const) if (mayExceed(module[side], LIMITS.valueMax)) checkValues(module, side)
  }
  const [missing] = planned.keys()
  if (missing !== undefined) throw new LaminaError("UPDATE_MODULE", `module ${missing} of the plan is missing`)
}

function checkModule(module: AdapterModule, expected: Plan["modules"][number], scaling: Plan["scaling"]): void {
  const { name, outFeatures, inFeatures, rank, alpha } = module
  if (outFeatures !== expected.outFeatures || inFeatures !== expected.inFeatures)
    throw new LaminaError(
      "UPDATE_SHAPE",
      `module ${name}: expected ${expected.outFeatures} x ${expected.inFeatures}, got ${outFeatures} x ${inFeatures}`,
    )
  if (rank !== expected.rank)
    throw new LaminaError("UPDATE_RANK", `module ${name}: expected rank ${expected.rank}, got ${rank}`)
  if (alpha !== expected.alpha || module.scaling !== scaling)
    throw new LaminaError(
      "UPDATE_RANK",
      `module ${name}: expected alpha ${expected.alpha} and ${scaling}, got ${alpha} and ${module.scaling}`,
    )
}

function checkValues(module: AdapterModule, side: "a" | "b"): void {
  const values = module[side]
  const at = firstBeyond(values, LIMITS.valueMax)
  if (at >= 0)
    throw new LaminaError(
      "UPDATE_NOT_FINITE",
      `module ${module.name}.${side}[${at}]: expected a finite value within ±${LIMITS.valueMax}, got ${values[at]}`,
    )
}
