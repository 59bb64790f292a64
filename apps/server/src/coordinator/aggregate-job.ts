import { LaminaError } from "@lamina/protocol/errors"
import type { Recipe } from "@lamina/protocol/recipe"

import type { CarriedUpdate, ClientId } from "../round/round.js"
import type { RoundRow } from "../store/schema.js"
import type { AggregateJob, CountedUpdate, RoundSecret } from "../worker/jobs.js"
import { strategySettings } from "../worker/strategy-settings.js"
import type { CoordinatorContext } from "./context.js"
import { bytesOf } from "./hex.js"
import { sourceOf } from "./envelope-source.js"
import { lastReport } from "./round-report.js"
import { uploadIdOf } from "./upload-id.js"

/** The accepted updates of a sealed round, and those carried into it from earlier rounds. */
interface SealedSet {
  readonly row: RoundRow
  readonly recipe: Recipe
  readonly accepted: readonly ClientId[]
  readonly counted: readonly CarriedUpdate[]
}

/** An update of the job with the client's name and the round it was trained for. */
export interface NamedUpdate extends CountedUpdate {
  readonly trainedRound: number
}

/**
 * The job of aggregating a sealed round: its own updates in the order of `accepted`, then the carried ones. A carried
 * update t rounds late weighs (1 + t)^-stalenessPower of its weight (FedBuff, arXiv:2106.06639). Throws BLOB_CORRUPT
 * where an accepted one is not there.
 */
export async function aggregateJob(
  context: CoordinatorContext,
  { row, recipe, accepted, counted }: SealedSet,
): Promise<AggregateJob & { readonly updates: readonly NamedUpdate[] }> {
  const { store, blobs } = context
  const run = await store.run(row.run_id)
  const hashSoFar = run?.global_adapter_hash ?? undefined
  const stateHash = (await lastReport(store, row.run_id))?.stateHash
  const own = accepted.map((id) => ({ id, round: row.round }))
  return {
    kind: "aggregate",
    updates: await countedUpdates(context, { row, recipe }, [...own, ...counted]),
    globalAdapter: hashSoFar === undefined ? undefined : await blobs.read(hashSoFar),
    state: stateHash === undefined ? undefined : await blobs.read(stateHash),
    strategy: recipe.strategy,
    settings: strategySettings(recipe),
    keepIn: recipe.globalAdapter.keepUpdates ? context.blobFolder : undefined,
  }
}

async function countedUpdates(
  context: CoordinatorContext,
  { row, recipe }: { row: RoundRow; recipe: Recipe },
  wanted: readonly { id: ClientId; round: number }[],
): Promise<NamedUpdate[]> {
  const power = recipe.cohort.buffer?.stalenessPower ?? 0
  const rounds = new Map<number, Map<ClientId, NamedUpdate>>()
  const found: NamedUpdate[] = []
  for (const { id, round } of wanted) {
    const updates = rounds.get(round) ?? (await sealedUpdates(context, row.run_id, round))
    rounds.set(round, updates)
    const update = updates.get(id)
    if (!update) throw new LaminaError("BLOB_CORRUPT", `expected the accepted update of client ${id}, got none`)
    const own = recipe.weightBy === "equal" ? 1 : update.weight
    found.push({ ...update, weight: own * (1 + row.round - round) ** -power })
  }
  return found
}

async function sealedUpdates(
  context: CoordinatorContext,
  runId: string,
  round: number,
): Promise<Map<ClientId, NamedUpdate>> {
  const { store } = context
  const trainedFor = await store.round(runId, round)
  if (!trainedFor) throw new LaminaError("NOT_FOUND", `expected round ${round} of run ${runId}, got none`)
  const secret = secretOf(context, trainedFor)
  const plans = new Map((await store.plans(runId, round)).map((plan) => [plan.client_id, plan]))
  const uploads = new Map((await store.uploads(runId, round)).map((upload) => [upload.id, upload]))
  const sealed = new Map<ClientId, NamedUpdate>()
  for (const update of await store.updates(runId, round)) {
    const plan = plans.get(update.client_id)
    const upload = uploads.get(uploadIdOf(update.client_id, update.envelope_root))
    if (!plan || !upload || update.status !== "ACCEPTED") continue
    sealed.set(update.client_id, {
      source: sourceOf(context, upload),
      header: upload.header,
      envelopeBytes: upload.envelope_bytes,
      envelopeRoot: bytesOf(update.envelope_root),
      clientId: update.client_id,
      clientName: plan.client_name,
      plan: plan.plan,
      secret,
      weight: update.weight,
      trainedRound: round,
    })
  }
  return sealed
}

/** The key that opens a round's envelopes. Throws ROUND_CLOSED once it is erased. */
export function secretOf({ identity }: CoordinatorContext, row: RoundRow): RoundSecret {
  if (!row.recipient_secret)
    throw new LaminaError("ROUND_CLOSED", `round ${row.round}: expected its key, got a round that is over`)
  const { federationId } = identity
  return { federationId, headerHash: bytesOf(row.header_hash), recipientSecret: row.recipient_secret }
}
