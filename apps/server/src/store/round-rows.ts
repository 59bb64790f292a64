import type { Kysely, Transaction } from "kysely"

import type { Schema } from "./schema.js"
import type { LoggedEvent, Store } from "./store.js"

/** Rounds, their plans and their event logs. */
export function roundRows(
  db: Kysely<Schema>,
): Pick<
  Store,
  | "openRound"
  | "round"
  | "rounds"
  | "plan"
  | "plans"
  | "events"
  | "appendEvent"
  | "publishRound"
  | "contributions"
  | "closeRound"
> {
  return {
    openRound: (row, plans, first) =>
      db.transaction().execute(async (tx) => {
        await tx.insertInto("rounds").values(row).execute()
        for (const plan of plans) await tx.insertInto("plans").values(plan).execute()
        await insertEvent(tx, first)
      }),
    round: (runId, round) =>
      db.selectFrom("rounds").selectAll().where("run_id", "=", runId).where("round", "=", round).executeTakeFirst(),
    rounds: (runId) => db.selectFrom("rounds").selectAll().where("run_id", "=", runId).orderBy("round").execute(),
    plan: (runId, round, clientId) => plansOf(db, runId, round).where("client_id", "=", clientId).executeTakeFirst(),
    plans: (runId, round) => plansOf(db, runId, round).orderBy("client_id").execute(),
    events: (runId, round) =>
      db
        .selectFrom("events")
        .selectAll()
        .where("run_id", "=", runId)
        .where("round", "=", round)
        .orderBy("seq")
        .execute(),
    appendEvent: (logged) => db.transaction().execute((tx) => logEvent(tx, logged)),
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

function plansOf(db: Kysely<Schema>, runId: string, round: number) {
  return db.selectFrom("plans").selectAll().where("run_id", "=", runId).where("round", "=", round)
}

/** Appends to a round's log and moves its row to the state the event led to. */
export async function logEvent(tx: Transaction<Schema>, logged: LoggedEvent): Promise<void> {
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
