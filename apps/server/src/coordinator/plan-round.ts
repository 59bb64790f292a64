import type { ClientTerms } from "@lamina/aggregation"
import { plannedPrecisions, STRATEGY_RULES } from "@lamina/protocol"
import type { Plan } from "@lamina/protocol"
import { LaminaError } from "@lamina/protocol/errors"
import type { Recipe } from "@lamina/protocol/recipe"

import type { RunRow } from "../store/schema.js"
import { strategySettings } from "../worker/strategy-settings.js"
import type { CoordinatorContext } from "./context.js"
import { bytesOf } from "./hex.js"
import { planCohort, termsOf } from "./plan.js"
import type { ClientView, PlannedClient, PlanningWork } from "./plan.js"
import { chosenPlans } from "./planned-modules.js"
import { lastReport } from "./round-report.js"
import type { TrainedModule } from "./run-request.js"

/** A client's plan, and how long the planner thinks it takes (ms; 0: no estimate): all of it, and training alone. */
interface ClientTask {
  readonly plan: Plan
  readonly estimateMs: number
  readonly trainMs: number
}

interface Planning {
  readonly run: RunRow
  readonly recipe: Recipe
  readonly modules: readonly TrainedModule[]
  readonly round: number
  readonly cohort: readonly PlannedClient[]
}

/**
 * The plans of a round's cohort by client id: ranks by the strategy, modules by the planner where the recipe asks for
 * it, and each client's view of the global adapter, which is cut for it and stored where it is not the whole. A client
 * for which no plan or no view fits has none. Throws PLAN_INFEASIBLE, STRATEGY_UNSUITABLE where that is everybody.
 */
export async function planRound(context: CoordinatorContext, asked: Planning): Promise<Map<string, ClientTask>> {
  const planning = { ...asked, cohort: holdingWell(context, asked) }
  const { recipe } = planning
  const report = await lastReport(context.store, planning.run.id)
  const chosen = recipe.strategy === "fedpipe" ? await chosenPlans(context, planning) : undefined
  const cohort = planning.cohort.filter(({ id }) => !chosen || chosen.has(id))
  const work: PlanningWork = {
    ...planning,
    prunedRanks: new Map(Object.entries(report?.prunedRanks ?? {})),
    ...(chosen ? { chosen } : {}),
  }
  const viewOf = await views(context, { ...planning, cohort }, work)
  const fitting = cohort.filter((client) => !viewOf?.refused.has(client.id))
  // what others train may depend on who is there
  if (fitting.length < cohort.length)
    return planRound(context, { ...planning, cohort: someOf(fitting, viewOf?.refused) })
  const plans = planCohort(cohort, viewOf ? { ...work, viewOf: viewOf.of } : work)
  return new Map(
    [...plans].map(([id, plan]) => {
      const { estimateMs = 0, trainMs = 0 } = chosen?.get(id) ?? {}
      return [id, { plan, estimateMs: Math.round(estimateMs), trainMs: Math.round(trainMs) }]
    }),
  )
}

/** Without those that hold the base in a way that this run's plans may not. Throws STRATEGY_UNSUITABLE for all. */
function holdingWell({ logger }: CoordinatorContext, { run, recipe, cohort }: Planning): readonly PlannedClient[] {
  const allowed = plannedPrecisions(recipe.globalAdapter)
  const refused = new Map<string, string>()
  for (const { id, name, capability } of cohort) {
    const { precision } = capability
    if (precision === "" || allowed.includes(precision)) continue
    const reason = `expected a client that holds the base as ${allowed.join(" or ")}, got ${precision}`
    refused.set(id, reason)
    logger.warn({ run: run.id, client: name }, `no plan fits: ${reason}`)
  }
  if (refused.size === 0) return cohort
  return someOf(
    cohort.filter(({ id }) => !refused.has(id)),
    refused,
  )
}

/** Those that are left, if any are. */
function someOf(cohort: readonly PlannedClient[], refused: ReadonlyMap<string, string> | undefined) {
  const [reason] = refused?.values() ?? []
  if (cohort.length === 0) throw new LaminaError("STRATEGY_UNSUITABLE", reason ?? "expected a client, got none")
  return cohort
}

interface Views {
  readonly of: NonNullable<PlanningWork["viewOf"]>
  /** Why a client can have none, by its id. */
  readonly refused: ReadonlyMap<string, string>
}

/** Clients of one rank and one budget share a view: each is made once. */
async function views(
  context: CoordinatorContext,
  { run, recipe, cohort }: Planning,
  work: PlanningWork,
): Promise<Views | undefined> {
  const { blobs, worker, logger } = context
  if (run.global_adapter_hash === null) return undefined
  const terms = termsOf(cohort, work)
  const wanted = new Map(cohort.map((client, i) => [keyOf(terms[i]!, client), { client, terms: terms[i]! }]))
  const whole: ClientView = { adapterHash: new Uint8Array(0), startRanks: {} }
  const cuts = [...wanted].filter(([, { client }]) => needsCut(recipe, client))
  const made = new Map<string, ClientView>()
  const reasons = new Map<string, string>()
  if (cuts.length > 0) {
    const projections = await worker.run({
      kind: "project",
      strategy: recipe.strategy,
      settings: strategySettings(recipe),
      globalAdapter: await blobs.read(run.global_adapter_hash),
      wanted: cuts.map(([, { client, terms: each }]) => ({
        terms: each,
        bytesMax: client.capability.downloadBytesMax,
      })),
    })
    for (const [i, projected] of projections.entries())
      if ("refused" in projected) reasons.set(cuts[i]![0], projected.refused)
      else {
        const { adapter, startRanks, relativeError } = projected
        const { terms: each, client } = cuts[i]![1]
        const { downloadBytesMax: bytesMax } = client.capability
        if (bytesMax > 0)
          logger.info(
            { run: run.id, rank: each.rank, bytesMax, relativeError },
            "the global adapter is cut to a budget",
          )
        made.set(cuts[i]![0], { adapterHash: bytesOf(await blobs.put(adapter)), startRanks })
      }
  }
  const refused = new Map<string, string>()
  for (const [i, client] of cohort.entries()) {
    const reason = reasons.get(keyOf(terms[i]!, client))
    if (reason === undefined) continue
    refused.set(client.id, reason)
    logger.warn({ run: run.id, client: client.name }, `no view of the global adapter fits: ${reason}`)
  }
  return { of: (each, client) => made.get(keyOf(each, client)) ?? whole, refused }
}

/** Where clients only stack onto the global adapter, all of it is what they download unless they set a budget. */
function needsCut({ strategy }: Recipe, { capability }: PlannedClient): boolean {
  return !STRATEGY_RULES[strategy].stacks || capability.downloadBytesMax > 0
}

function keyOf({ rank }: ClientTerms, { capability }: PlannedClient): string {
  return `${rank}/${capability.downloadBytesMax}`
}
