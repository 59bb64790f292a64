import type Database from "better-sqlite3"
import type { Kysely, Transaction } from "kysely"

import type { Connection } from "./connection.js"
import type { PlanRow, RoundRow, Schema } from "./schema.js"
import { allRows, insertStatement, oneRow } from "./statements.js"
import type { LoggedEvent, Store } from "./store.js"

const ROUND_COLUMNS = [
  ...["run_id", "round", "state", "header", "header_hash", "header_signature", "recipient_secret", "terms"],
  ...["cohort", "accepted", "rejected", "adapter_hash", "report", "reason", "opened_ms", "ended_ms"],
]
const PLAN_COLUMNS = ["run_id", "round", "client_id", "client_name", "plan", "signature", "estimate_ms"]
const PLANS = "select * from plans where run_id = ? and round = ?"

/** Rounds, their plans and their event logs. */
export function roundRows({
  db,
  sqlite,
  writes,
  reader,
}: Connection): Pick<
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
  const insertRound = insertStatement(sqlite, "rounds", ROUND_COLUMNS)
  const insertPlan = insertStatement(sqlite, "plans", PLAN_COLUMNS)
  const log = logStatements(sqlite)
  return {
    openRound: (row, plans, first) =>
      writes.write(() => {
        insertRound.run(row)
        for (const plan of plans) insertPlan.run(plan)
        log(first)
      }),
    round: oneRow<RoundRow>(reader, "select * from rounds where run_id = ? and round = ?"),
    rounds: allRows<RoundRow>(reader, "select * from rounds where run_id = ? order by round"),
    plan: oneRow<PlanRow>(reader, `${PLANS} and client_id = ?`),
    plans: allRows<PlanRow>(reader, `${PLANS} order by client_id`),
    events: (runId, round) =>
      db
        .selectFrom("events")
        .selectAll()
        .where("run_id", "=", runId)
        .where("round", "=", round)
        .orderBy("seq")
        .execute(),
    appendEvent: (logged) => writes.write(() => log(logged)),
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

/** Appends to a round's log and moves its row to the state the event led to; inside a write. */
export function logStatements(sqlite: Database.Database): (logged: LoggedEvent) => void {
  const insert = sqlite.prepare("insert into events (run_id, round, seq, event, at_ms) values (?, ?, ?, ?, ?)")
  const move = sqlite.prepare("update rounds set state = ? where run_id = ? and round = ?")
  return ({ runId, round, seq, event, atMs, state }) => {
    insert.run(runId, round, seq, JSON.stringify(event), atMs)
    move.run(state, runId, round)
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
