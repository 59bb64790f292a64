import { calibratedSpeed, planCohort, termsOf } from "@lamina/planner"
import type { BaseShape, DeviceProfile, PlanningTerms } from "@lamina/planner"
import { LaminaError } from "@lamina/protocol/errors"
import type { Recipe } from "@lamina/protocol/recipe"

import type { RunRow } from "../store/schema.js"
import type { CoordinatorContext } from "./context.js"
import type { ChosenPlan, PlannedClient } from "./plan.js"
import { planningHistory } from "./planning-history.js"
import type { PlanningHistory } from "./planning-history.js"

/** Share of the deadline that is planned for: devices are not equally fast every time, and late is worth nothing. */
const PLANNED_SHARE = 0.85

interface Cohort {
  readonly run: RunRow
  readonly recipe: Recipe
  readonly cohort: readonly PlannedClient[]
}

/**
 * What the planner gives each client of a cohort (FedPipe, arXiv:2404.06448), by client id: modules, ranks, precision,
 * batch and steps that suit its memory, speed and bandwidth. The first round is a probe: rank 1 on every linear, a few
 * steps, for the importance of each module. A client for which nothing fits is left out. Throws RECIPE_INVALID where
 * the run was not given the base's sizes, PLAN_INFEASIBLE where nothing fits anybody.
 */
export async function chosenPlans(
  context: CoordinatorContext,
  { run, recipe, cohort }: Cohort,
): Promise<ReadonlyMap<string, ChosenPlan & { readonly estimateMs: number; readonly trainMs: number }>> {
  if (run.shape === null) throw withoutShape()
  const shape = JSON.parse(run.shape) as BaseShape
  const history = await planningHistory(context.store, run.id)
  const terms = await planningTerms(context, { run, recipe, history })
  const scores = history.scores.size > 0 ? history.scores : new Map(shape.modules.map(({ name }) => [name, 1] as const))
  const profiles = cohort.map((client) => profileOf(client, { shape, recipe, history }))
  const { perClient } = recipe.strategyOptions
  const used = perClient ? profiles : profiles.map(() => weakest(shape, profiles))
  const planned = await planCohort(shape, used, scores, terms)
  const found = planned.flatMap((result, i) => {
    if (result.kind === "infeasible") {
      context.logger.warn({ run: run.id, client: cohort[i]!.name }, `no plan fits: ${result.error.message}`)
      return []
    }
    const { estimate, ...plan } = result.plan
    const estimateMs = estimate.downloadMs + estimate.trainMs + estimate.uploadMs
    const precision = profiles[i]!.precision || plan.precision // one plan for all, but not how it holds the base
    return [[cohort[i]!.id, { ...plan, precision, estimateMs, trainMs: estimate.trainMs }] as const]
  })
  const refused = planned.find((result) => result.kind === "infeasible")
  if (found.length === 0 && refused?.kind === "infeasible") throw refused.error
  return new Map(found)
}

async function planningTerms(
  { store }: CoordinatorContext,
  { run, recipe, history }: { run: RunRow; recipe: Recipe; history: PlanningHistory },
): Promise<PlanningTerms> {
  const adapters = await store.adapters()
  const global = adapters.findLast(({ run_id, hash }) => run_id === run.id && hash === run.global_adapter_hash)
  const whole = termsOf(recipe, { adapterBytes: global?.bytes ?? 0 })
  const terms = { ...whole, deadlineMs: PLANNED_SHARE * whole.deadlineMs }
  return history.scores.size > 0 ? terms : { ...terms, ranks: [1], steps: recipe.strategyOptions.probeSteps }
}

function profileOf(
  { id, capability }: PlannedClient,
  { shape, recipe, history }: { shape: BaseShape; recipe: Recipe; history: PlanningHistory },
): DeviceProfile {
  const { memoryBytes, freeMemoryBytes, precision, uploadBytesMax, rankMax, tokensPerSecond } = capability
  return {
    memoryBytes: least([freeMemoryBytes, memoryBytes]),
    tokensPerSecond: calibratedSpeed(shape, { tokensPerSecond, context: recipe.training.context }),
    uploadBytesPerSecond: capability.uploadBytesPerSecond,
    downloadBytesPerSecond: capability.downloadBytesPerSecond,
    ...{ uploadBytesMax, rankMax, precision },
    timeCorrection: history.corrections.get(id) ?? 1,
  }
}

/** One profile that every client of the cohort is at least as good as, as far as anybody knows. */
function weakest(shape: BaseShape, profiles: readonly DeviceProfile[]): DeviceProfile {
  const leastOf = (of: (profile: DeviceProfile) => number): number => least(profiles.map(of))
  const named = profiles.map(({ precision }) => precision).filter((precision) => precision !== "")
  named.sort((left, right) => shape.bytes[right] - shape.bytes[left]) // who holds most has least room
  return {
    memoryBytes: leastOf(({ memoryBytes }) => memoryBytes),
    tokensPerSecond: leastOf(({ tokensPerSecond, timeCorrection }) => tokensPerSecond / timeCorrection),
    uploadBytesPerSecond: leastOf(({ uploadBytesPerSecond }) => uploadBytesPerSecond),
    downloadBytesPerSecond: leastOf(({ downloadBytesPerSecond }) => downloadBytesPerSecond),
    uploadBytesMax: leastOf(({ uploadBytesMax }) => uploadBytesMax),
    rankMax: leastOf(({ rankMax }) => rankMax),
    precision: named[0] ?? "",
    timeCorrection: 1,
  }
}

/** The least that is known; 0 where nothing is. */
function least(values: readonly number[]): number {
  const known = values.filter((value) => value > 0)
  return known.length === 0 ? 0 : Math.min(...known)
}

/** A run of `fedpipe` that was not told the sizes of its base. */
export function withoutShape(): LaminaError {
  return new LaminaError("RECIPE_INVALID", `strategy: "fedpipe" needs the base's sizes, got a run without them`, {
    hint: "give base.shape with the run; `lamina serve`, `lamina run` and `lamina simulate` do",
  })
}
