import { LaminaError } from "@lamina/protocol/errors"
import type { Recipe } from "@lamina/protocol/recipe"

import type { ClientId } from "../round/round.js"
import type { RoundRow } from "../store/schema.js"
import type { AggregateJob, RoundSecret, SealedUpdate } from "../worker/jobs.js"
import type { CoordinatorContext } from "./context.js"
import { bytesOf } from "./hex.js"
import { sourceOf } from "./envelope-source.js"
import { uploadIdOf } from "./upload-id.js"

/**
 * The job of aggregating a sealed round, updates in the order of `accepted`. Throws BLOB_CORRUPT where an accepted
 * one is not there.
 */
export async function aggregateJob(
  context: CoordinatorContext,
  { row, recipe, accepted }: { row: RoundRow; recipe: Recipe; accepted: readonly ClientId[] },
): Promise<AggregateJob> {
  const { store, blobs } = context
  const run = await store.run(row.run_id)
  const hashSoFar = run?.global_adapter_hash ?? undefined
  const updates = await sealedUpdates(context, row)
  return {
    kind: "aggregate",
    updates: accepted.map((clientId) => {
      const update = updates.get(clientId)
      if (!update) throw new LaminaError("BLOB_CORRUPT", `expected the accepted update of client ${clientId}, got none`)
      return update
    }),
    secret: secretOf(context, row),
    globalAdapter: hashSoFar === undefined ? undefined : await blobs.read(hashSoFar),
    strategy: recipe.strategy,
    weightBy: recipe.weightBy,
    tau: recipe.globalAdapter.tau,
    maxRank: recipe.globalAdapter.maxRank,
  }
}

async function sealedUpdates(context: CoordinatorContext, row: RoundRow): Promise<Map<ClientId, SealedUpdate>> {
  const { store } = context
  const plans = new Map((await store.plans(row.run_id, row.round)).map((plan) => [plan.client_id, plan]))
  const sealed = new Map<ClientId, SealedUpdate>()
  for (const update of await store.updates(row.run_id, row.round)) {
    const plan = plans.get(update.client_id)
    const upload = await store.upload(uploadIdOf(update.client_id, update.envelope_root))
    if (!plan || !upload || update.status !== "ACCEPTED") continue
    sealed.set(update.client_id, {
      source: sourceOf(context, upload),
      header: upload.header,
      envelopeBytes: upload.envelope_bytes,
      envelopeRoot: bytesOf(update.envelope_root),
      clientId: update.client_id,
      clientName: plan.client_name,
      plan: plan.plan,
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
