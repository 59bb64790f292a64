import { generateRecipientKey, hash, sign, toHex } from "@lamina/crypto"
import { messages } from "@lamina/protocol"
import type { RoundHeader } from "@lamina/protocol"
import type { Recipe } from "@lamina/protocol/recipe"

import type { CohortMember, RoundTerms } from "../round/round.js"
import { quorumOf } from "../round/step.js"
import type { PlanRow, RoundRow, RunRow } from "../store/schema.js"
import type { CoordinatorContext } from "./context.js"
import { bytesOf } from "./hex.js"
import type { PlannedClient } from "./plan.js"
import { planRound } from "./plan-round.js"
import type { TrainedModule } from "./run-request.js"

interface Opening {
  readonly run: RunRow
  readonly work: { readonly recipe: Recipe; readonly modules: readonly TrainedModule[] }
  readonly round: number
  readonly drawn: readonly PlannedClient[]
  readonly atMs: number
  /** Buffered runs: clients that still train for earlier rounds. */
  readonly busy?: number
}

/**
 * Everything a round promises to its cohort: keys, signed header, signed plans, absolute deadlines. Clients of `drawn`
 * for which no plan fits are not of the cohort. Nothing is stored or sent here.
 */
export async function openRound(
  context: CoordinatorContext,
  { run, work, round, drawn, atMs, busy }: Opening,
): Promise<{ row: RoundRow; plans: PlanRow[]; terms: RoundTerms }> {
  const { recipe } = work
  const { quorum, softDeadlineMs, hardDeadlineMs } = recipe.cohort
  const encoded = await encodePlans(context, { run, recipe, modules: work.modules, round, cohort: drawn })
  const cohort = encoded.map(({ member }) => member)
  const wanted = wantedOf(recipe, cohort.length)
  const terms: RoundTerms = {
    cohort: cohort.map(({ id, name }) => ({ id, name })),
    wanted,
    quorum: quorumOf({ size: wanted, share: quorum }),
    ...(busy === undefined ? {} : { busy }),
    softDeadlineMs: atMs + softDeadlineMs,
    hardDeadlineMs: atMs + hardDeadlineMs,
  }
  const recipient = generateRecipientKey()
  const previous = (await context.store.round(run.id, round - 1))?.header_hash
  const header = messages.RoundHeader.encode({
    ...fixedFields({ context, run, recipe, round }),
    cohortRoot: cohortRoot(encoded),
    previousHeaderHash: previous === undefined ? new Uint8Array(32) : bytesOf(previous),
    softDeadlineMs: terms.softDeadlineMs,
    hardDeadlineMs: terms.hardDeadlineMs,
    recipientKey: recipient.publicKey,
  })
  const headerHash = hash(header)
  const { signer } = context.identity
  const plans = encoded.map(({ member, plan, estimateMs, trainMs }) => ({
    run_id: run.id,
    round,
    client_id: member.id,
    client_name: member.name,
    plan,
    signature: sign(signer, "lamina/v1/plan", headerHash, bytesOf(member.id), plan),
    estimate_ms: estimateMs,
    train_ms: trainMs,
  }))
  const row: RoundRow = {
    run_id: run.id,
    round,
    state: "collecting",
    header,
    header_hash: toHex(headerHash),
    header_signature: sign(signer, "lamina/v1/header", header),
    recipient_secret: recipient.secretKey,
    terms: JSON.stringify(terms),
    cohort: cohort.length,
    accepted: 0,
    rejected: 0,
    adapter_hash: null,
    report: null,
    reason: null,
    opened_ms: atMs,
    ended_ms: null,
  }
  return { row, plans, terms }
}

/** Updates that close the round: the buffer's size, or what is wanted of an over-selected cohort. */
function wantedOf({ cohort: { clients = 1, buffer } }: Recipe, cohortSize: number): number {
  return buffer ? buffer.size : Math.min(clients, cohortSize)
}

interface EncodedPlan {
  readonly member: CohortMember
  readonly plan: Uint8Array
  readonly estimateMs: number
  readonly trainMs: number
}

async function encodePlans(
  context: CoordinatorContext,
  planning: Parameters<typeof planRound>[1],
): Promise<EncodedPlan[]> {
  const tasks = await planRound(context, planning)
  return planning.cohort.flatMap((member) => {
    const task = tasks.get(member.id)
    return task ? [{ ...task, member, plan: messages.Plan.encode(task.plan) }] : []
  })
}

type FixedField =
  "version" | "federationId" | "runId" | "round" | "mode" | "baseHash" | "globalAdapterHash" | "recipeHash"

function fixedFields({
  context,
  run,
  recipe,
  round,
}: {
  context: CoordinatorContext
  run: RunRow
  recipe: Recipe
  round: number
}): Pick<RoundHeader, FixedField | "weightRule" | "strategy" | "seed"> {
  return {
    version: 1,
    federationId: context.identity.federationId,
    runId: run.id,
    round,
    mode: recipe.privacy.mode,
    baseHash: bytesOf(run.base_hash),
    // empty before the first round is published
    globalAdapterHash: bytesOf(run.global_adapter_hash ?? ""),
    recipeHash: bytesOf(run.recipe_hash),
    weightRule: recipe.weightBy,
    strategy: recipe.strategy,
    seed: recipe.seed,
  }
}

/** H over the cohort, sorted by client id, of client_id ‖ H(plan bytes). */
function cohortRoot(plans: readonly EncodedPlan[]): Uint8Array {
  const sorted = plans.toSorted((left, right) => (left.member.id < right.member.id ? -1 : 1))
  return hash(...sorted.flatMap(({ member, plan }) => [bytesOf(member.id), hash(plan)]))
}
