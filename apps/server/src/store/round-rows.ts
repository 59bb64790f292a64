import type Database from "better-sqlite3"

import type { Connection } from "./connection.js"
import { KeptRows } from "./kept-rows.js"
import type { PlanRow, RoundRow } from "./schema.js"
import { allRows, insertStatement, oneRow } from "./statements.js"
import type { LoggedEvent, Store } from "./store.js"

const ROUND_COLUMNS = [
  ...["run_id", "round", "state", "header", "header_hash", "header_signature", "recipient_secret", "terms"],
  ...["cohort", "accepted", "rejected", "adapter_hash", "report", "reason", "opened_ms", "ended_ms"],
]
const PLAN_COLUMNS = ["run_id", "round", "client_id", "client_name", "plan", "signature", "estimate_ms", "train_ms"]
/** A client's plan is read four times in a round. */
const PLANS_BYTES_MAX = 16 * 1024 * 1024
/** Of a plan's row without the plan: ids, name, signature. */
const ROW_BYTES = 512
const PLANS = "select * from plans where run_id = ? and round = ?"

/** Rounds, their plans and their event logs. */
export function roundRows({
  db,
  sqlite,
  writes,
  reader,
}: Connection): Pick<Store, "openRound" | "round" | "rounds" | "plan" | "plans" | "events" | "appendEvent"> {
  const insertRound = insertStatement(sqlite, "rounds", ROUND_COLUMNS)
  const insertPlan = insertStatement(sqlite, "plans", PLAN_COLUMNS)
  const { log } = logStatements(sqlite)
  const plan = oneRow<PlanRow>(reader, `${PLANS} and client_id = ?`)
  const kept = new KeptRows<PlanRow>(PLANS_BYTES_MAX, (row) => row.plan.byteLength + ROW_BYTES)
  return {
    openRound: (row, plans, first) =>
      writes.write(() => {
        insertRound.run(row)
        for (const plan of plans) insertPlan.run(plan)
        log(first)
      }),
    round: oneRow<RoundRow>(reader, "select * from rounds where run_id = ? and round = ?"),
    rounds: allRows<RoundRow>(reader, "select * from rounds where run_id = ? order by round"),
    plan: (runId, round, clientId) => kept.get(`${runId} ${round} ${clientId}`, () => plan(runId, round, clientId)),
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
  }
}

/** Inside a write: append to a round's log, and move its row to the state the last of its events led to. */
export function logStatements(sqlite: Database.Database) {
  const insert = sqlite.prepare("insert into events (run_id, round, seq, event, at_ms) values (?, ?, ?, ?, ?)")
  const move = sqlite.prepare("update rounds set state = ? where run_id = ? and round = ?")
  const logAll = (all: readonly LoggedEvent[]): void => {
    const last = new Map<string, LoggedEvent>()
    for (const logged of all) {
      const { runId, round, seq, event, atMs } = logged
      insert.run(runId, round, seq, JSON.stringify(event), atMs)
      last.set(`${runId} ${round}`, logged)
    }
    for (const { state, runId, round } of last.values()) move.run(state, runId, round)
  }
  return { logAll, log: (logged: LoggedEvent): void => logAll([logged]) }
}
