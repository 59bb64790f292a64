import type { AdapterModule } from "./adapter.js"
import { LaminaError } from "./errors.js"
import { LIMITS } from "./limits.js"
import type { Plan } from "./messages.js"
import type { UpdateContent } from "./update.js"

/**
 * An update against the plan its client was given: every planned module once, shapes, ranks and alphas as planned,
 * finite values within LIMITS.valueMax, a positive whole weight. Throws UPDATE_WEIGHT, UPDATE_MODULE, UPDATE_SHAPE,
 * UPDATE_RANK or UPDATE_NOT_FINITE.
 */
export function checkUpdate(update: UpdateContent, plan: Plan): void {
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
  for (const [side, values] of [
    ["a", module.a],
    ["b", module.b],
  ] as const) {
    const at = firstUnacceptable(values)
    if (at >= 0)
      throw new LaminaError(
        "UPDATE_NOT_FINITE",
        `module ${name}.${side}[${at}]: expected a finite value within ±${LIMITS.valueMax}, got ${values[at]}`,
      )
  }
}

/** The bits of an f32 without its sign rise with it; those of infinity and NaN are the largest. */
const MAGNITUDE = 0x7fff_ffff
const [largest = 0] = new Uint32Array(Float32Array.of(LIMITS.valueMax).buffer)

/**
 * Index of the first NaN, infinity or too large value; -1 when there is none. Eight at a time: a difference below 0 is
 * a value above the limit.
 */
function firstUnacceptable(values: Float32Array): number {
  const bits = new Int32Array(values.buffer, values.byteOffset, values.length)
  const rest = (i: number): number => largest - ((bits[i] as number) & MAGNITUDE)
  let i = 0
  for (; i + 8 <= bits.length; i += 8) {
    const half = rest(i) | rest(i + 1) | rest(i + 2) | rest(i + 3)
    if ((half | rest(i + 4) | rest(i + 5) | rest(i + 6) | rest(i + 7)) < 0) break
  }
  for (; i < bits.length; i++) if (rest(i) < 0) return i
  return -1
}
