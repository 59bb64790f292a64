import type { Adapter, AdapterModule, ModulePlan, Plan } from "@lamina/protocol"
import { compareNames, LaminaError, scaleOf } from "@lamina/protocol"
import { initialA } from "@lamina/tuner/initial-factors"

/** A client's view of the global adapter, split into what it trains on and what it leaves alone. */
interface StartingPoint {
  /** Where A and B of every planned module start; undefined: all new, A from the plan's initSeed and B = 0. */
  readonly initial: Adapter | undefined
  /** What stays frozen on top of the base; undefined: nothing. */
  readonly frozen: Adapter | undefined
}

/**
 * Splits `view` as `plan` says: of every planned module the first startRank rows of A and columns of B are where its
 * factors start, B multiplied by s_view / s_plan so that s·B·A stays the same; rows beyond are new, drawn from
 * initSeed, their columns of B zero. The rest of the view stays frozen, with its scale, and so do modules that the plan
 * does not train. Pure; the result shares arrays with `view` and neither is to be changed. PLAN_UNSUPPORTED where the
 * view has fewer rows than the plan starts from, or a module of another shape.
 */
export function startingPoint(plan: Plan, view: Adapter | undefined): StartingPoint {
  const views = new Map(view?.modules.map((module) => [module.name, module]))
  for (const module of plan.modules) checkView(module, views.get(module.name))
  const startRanks = new Map(plan.modules.map(({ name, startRank }) => [name, startRank]))
  const frozen = (view?.modules ?? []).flatMap((module) => beyond(module, startRanks.get(module.name) ?? 0))
  const starts = plan.modules.some(({ startRank }) => startRank > 0)
  const modules = starts ? plan.modules.map((module) => startOf(plan, module, views.get(module.name))) : []
  modules.sort((left, right) => compareNames(left.name, right.name))
  return {
    initial: starts ? { modules } : undefined,
    frozen: frozen.length > 0 ? { modules: frozen } : undefined,
  }
}

function checkView({ name, startRank, outFeatures, inFeatures }: ModulePlan, view: AdapterModule | undefined): void {
  if (startRank > (view?.rank ?? 0))
    throw new LaminaError(
      "PLAN_UNSUPPORTED",
      `module ${name}: the plan starts from rank ${startRank} of the global adapter, ` +
        `got one of rank ${view?.rank ?? 0}`,
      { hint: "the coordinator sent a plan and a global adapter that do not fit; ask its operator" },
    )
  if (view && (view.outFeatures !== outFeatures || view.inFeatures !== inFeatures))
    throw new LaminaError(
      "PLAN_UNSUPPORTED",
      `module ${name}: expected a global adapter of ${outFeatures} x ${inFeatures}, ` +
        `got ${view.outFeatures} x ${view.inFeatures} (out x in)`,
    )
}

function startOf(plan: Plan, module: ModulePlan, view: AdapterModule | undefined): AdapterModule {
  const { name, outFeatures, inFeatures, rank, alpha, startRank } = module
  const start = { name, outFeatures, inFeatures, rank, alpha, scaling: plan.scaling }
  const a = initialA({ seed: plan.initSeed, name, rank, inFeatures })
  const b = new Float32Array(outFeatures * rank)
  if (view === undefined || startRank === 0) return { ...start, a, b }
  const scale = scaleOf(start)
  if (!(scale > 0))
    throw new LaminaError("PLAN_UNSUPPORTED", `module ${name}: expected a positive alpha to start from, got ${alpha}`)
  a.set(view.a.subarray(0, startRank * inFeatures))
  const factor = scaleOf(view) / scale
  for (let row = 0; row < outFeatures; row++)
    for (let r = 0; r < startRank; r++) b[row * rank + r] = factor * (view.b[row * view.rank + r] as number)
  return { ...start, a, b }
}

/** Rows of A and columns of B from `first` on, as an adapter of the same scale; nothing where none are left. */
function beyond(module: AdapterModule, first: number): AdapterModule[] {
  if (first === 0) return [module]
  const rank = module.rank - first
  if (rank === 0) return []
  const { outFeatures, inFeatures } = module
  const b = new Float32Array(outFeatures * rank)
  for (let row = 0; row < outFeatures; row++)
    b.set(module.b.subarray(row * module.rank + first, (row + 1) * module.rank), row * rank)
  const alpha = scaleOf(module) * (module.scaling === "rslora" ? Math.sqrt(rank) : rank)
  return [{ ...module, rank, alpha, a: module.a.slice(first * inFeatures), b }]
}
