import type { Kysely, Transaction } from "kysely"

import type { Schema } from "./schema.js"
import type { LoggedEvent, Store } from "./store.js"

/** How rounds end: what they publish, what is erased with them. */
export function roundEnds(db: Kysely<Schema>): Pick<Store, "publishRound" | "contributions" | "closeRound"> {
  return {
    publishRound: (logged, { adapter, report, contributions = [], keepSecrets = 0 }) =>
      db.transaction().execute(async (tx) => {
        await logEvent(tx, logged)
        await tx.insertInto("adapters").values(adapter).execute()
        for (const contribution of contributions) await tx.insertInto("contributions").values(contribution).execute()
        await endRound(tx, logged, { adapter_hash: adapter.hash, report })
        await eraseSecrets(tx, logged.runId, logged.round - keepSecrets)
        await tx.updateTable("runs").set({ global_adapter_hash: adapter.hash }).where("id", "=", logged.runId).execute()
      }),
    contributions: (runId, round) =>
      db
        .selectFrom("contributions")
        .selectAll()
        .where("run_id", "=", runId)
        .where("round", "=", round)
        .orderBy("position")
        .execute(),
    closeRound: (runId, round, { reason, atMs }) =>
      db.transaction().execute(async (tx) => {
        await endRound(tx, { runId, round, atMs }, { reason })
        await tx
          .updateTable("rounds")
          .set({ recipient_secret: null })
          .where("run_id", "=", runId)
          .where("round", "=", round)
          .execute()
      }),
  }
}

/** The same inside a transaction of the query builder. */
async function logEvent(tx: Transaction<Schema>, logged: LoggedEvent): Promise<void> {
  await insertEvent(tx, logged)
  await tx
    .updateTable("rounds")
    .set({ state: logged.state })
    .where("run_id", "=", logged.runId)
    .where("round", "=", logged.round)
    .execute()
}

async function insertEvent(tx: Transaction<Schema>, { runId, round, seq, event, atMs }: LoggedEvent): Promise<void> {
  await tx
    .insertInto("events")
    .values({ run_id: runId, round, seq, event: JSON.stringify(event), at_ms: atMs })
    .execute()
}

async function endRound(
  db: Kysely<Schema>,
  { runId, round, atMs }: Pick<LoggedEvent, "runId" | "round" | "atMs">,
  result: { adapter_hash?: string; report?: string; reason?: string },
): Promise<void> {
  await db
    .updateTable("rounds")
    .set({ ...result, ended_ms: atMs })
    .where("run_id", "=", runId)
    .where("round", "=", round)
    .where("ended_ms", "is", null)
    .execute()
}

/** Erases the keys of a run's rounds up to `last`. */
export async function eraseSecrets(db: Kysely<Schema>, runId: string, last: number): Promise<void> {
  await db
    .updateTable("rounds")
    .set({ recipient_secret: null })
    .where("run_id", "=", runId)
    .where("round", "<=", last)
    .where("recipient_secret", "is not", null)
    .execute()
}
