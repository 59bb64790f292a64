import { averageScores, corrected } from "@lamina/planner"
import type { ModuleScores } from "@lamina/planner"
import { compareNames } from "@lamina/protocol"

import type { PlanRow, UpdateRow } from "../store/schema.js"
import type { Store } from "../store/store.js"

/** What earlier rounds of a run say about planning the next one. */
export interface PlanningHistory {
  /** The newest average of every module that was ever reported; empty before the first round. */
  readonly scores: ModuleScores
  /** Measured time over estimated time of each client, smoothed, by client id. */
  readonly corrections: ReadonlyMap<string, number>
}

/** From the store alone, so that a restart plans what an uninterrupted run would have. */
export async function planningHistory(store: Store, runId: string): Promise<PlanningHistory> {
  const scores = new Map<string, number>()
  const corrections = new Map<string, number>()
  for (const round of await store.rounds(runId)) {
    if (round.state !== "published") continue
    const plans = new Map((await store.plans(runId, round.round)).map((plan) => [plan.client_id, plan]))
    const answered = (await store.updates(runId, round.round)).flatMap((update) => {
      const plan = plans.get(update.client_id)
      return plan && update.status === "ACCEPTED" ? [{ update, plan }] : []
    })
    for (const [module, score] of roundScores(answered, scores)) scores.set(module, score)
    for (const { update, plan } of answered) {
      // the correction is training's alone: what else there is takes as long as it was thought to
      const othersMs = plan.estimate_ms - plan.train_ms
      const times = { estimatedMs: plan.train_ms, measuredMs: update.at_ms - round.opened_ms - othersMs }
      corrections.set(plan.client_id, corrected(corrections.get(plan.client_id) ?? 1, times))
    }
  }
  return { scores, corrections }
}

/** Summed in the order of names: client ids come from keys, which differ from one federation to the next. */
function roundScores(answered: readonly { update: UpdateRow; plan: PlanRow }[], known: ModuleScores): ModuleScores {
  const weight = answered.reduce((sum, { update }) => sum + update.weight, 0)
  const inOrder = [...answered].sort((left, right) => compareNames(left.plan.client_name, right.plan.client_name))
  const reports = inOrder.map(({ update }) => ({
    share: weight === 0 ? 0 : update.weight / weight,
    scores: Object.entries(JSON.parse(update.scores) as Record<string, number[]>).map(([name, values]) => {
      return { name, values }
    }),
  }))
  return averageScores(reports, known)
}
