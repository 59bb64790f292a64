import { LaminaError } from "@lamina/protocol/errors"

import type { BaseShape, ClientPlan, DeviceProfile, ModuleScores, PlanningTerms } from "./api.js"
import { planClient } from "./plan-client.js"

/** What came of one client: a plan, or why there is none. */
export type PlannedClient =
  { readonly kind: "planned"; readonly plan: ClientPlan } | { readonly kind: "infeasible"; readonly error: LaminaError }

/**
 * A plan for every profile, in their order; equal profiles are planned once and share one plan. A client for which
 * nothing fits is `infeasible` with its PLAN_INFEASIBLE, and the others have their plans. RECIPE_INVALID,
 * SCORES_NOT_FINITE.
 */
export async function planCohort(
  base: BaseShape,
  profiles: readonly DeviceProfile[],
  scores: ModuleScores,
  terms: PlanningTerms,
): Promise<readonly PlannedClient[]> {
  const known = new Map<string, PlannedClient>()
  const planned: PlannedClient[] = []
  for (const profile of profiles) {
    const key = keyOf(profile)
    const client = known.get(key) ?? (await tryPlan(base, profile, scores, terms))
    known.set(key, client)
    planned.push(client)
  }
  return planned
}

function keyOf(profile: DeviceProfile): string {
  return JSON.stringify(Object.entries(profile).sort(([left], [right]) => (left < right ? -1 : 1)))
}

async function tryPlan(
  base: BaseShape,
  profile: DeviceProfile,
  scores: ModuleScores,
  terms: PlanningTerms,
): Promise<PlannedClient> {
  try {
    return { kind: "planned", plan: await planClient(base, profile, scores, terms) }
  } catch (error) {
    if (error instanceof LaminaError && error.code === "PLAN_INFEASIBLE") return { kind: "infeasible", error }
    throw error
  }
}
