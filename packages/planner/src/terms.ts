import { PLANNED_RANKS, plannedPrecisions } from "@lamina/protocol"
import type { Recipe } from "@lamina/protocol/recipe"

import type { PlanningTerms } from "./api.js"
import { BYTES_PER_FROZEN_PARAMETER } from "./memory-model.js"

/**
 * What a recipe fixes for every plan of a round: ranks up to `lora.rank`, itself among them, rows and steps of
 * `training`, and `cohort.softDeadlineMs`, by which everybody is to be in. `adapterBytes` is the global adapter that
 * every client fetches first and that stays frozen, or is added to the base where the recipe says so.
 */
export function termsOf(
  { lora, training, cohort, globalAdapter }: Pick<Recipe, "lora" | "training" | "cohort" | "globalAdapter">,
  { adapterBytes }: { adapterBytes: number },
): PlanningTerms {
  const { steps, batch, accumulate, context } = training
  return {
    ...{ steps, batch, accumulate, context, downloadBytes: adapterBytes, deadlineMs: cohort.softDeadlineMs },
    frozenParameters: globalAdapter.merge ? 0 : adapterBytes / BYTES_PER_FROZEN_PARAMETER,
    precisions: plannedPrecisions(globalAdapter),
    ranks: [...PLANNED_RANKS.filter((rank) => rank < lora.rank), lora.rank],
  }
}
