import { logStatements } from "./round-rows.js"
import type { Connection } from "./connection.js"
import type { UpdateRow } from "./schema.js"
import { allRows, insertStatement, oneRow } from "./statements.js"
import type { Store } from "./store.js"

const COLUMNS = [
  ...["run_id", "round", "client_id", "envelope_root", "status", "code", "weight", "metrics"],
  ...["envelope_bytes", "at_ms", "sequence", "scores", "counted_round"],
]
const OF_ROUND = "select * from updates where run_id = ? and round = ?"

/** The durable answers to commits. */
export function updateRows({
  db,
  sqlite,
  writes,
  reader,
}: Connection): Pick<Store, "recordUpdates" | "update" | "updates" | "weights"> {
  const last = sqlite.prepare("select coalesce(max(sequence), 0) as sequence from updates")
  const insert = insertStatement(sqlite, "updates", COLUMNS)
  const count = sqlite.prepare(
    "update rounds set accepted = accepted + ?, rejected = rejected + ? where run_id = ? and round = ?",
  )
  const log = logStatements(sqlite)
  return {
    recordUpdates: (answers) =>
      writes.write(() => {
        let { sequence } = last.get() as { sequence: number }
        return answers.map(({ update, logged }) => {
          if (update) {
            insert.run({ ...update, sequence: ++sequence })
            const accepted = update.status === "ACCEPTED" ? 1 : 0
            count.run(accepted, 1 - accepted, update.run_id, update.counted_round ?? update.round)
          }
          log(logged)
          return update ? sequence : 0
        })
      }),
    update: oneRow<UpdateRow>(reader, `${OF_ROUND} and client_id = ?`),
    updates: allRows<UpdateRow>(reader, `${OF_ROUND} order by sequence`),
    weights: (runId) =>
      db
        .selectFrom("updates")
        .innerJoin("plans", (join) =>
          join
            .onRef("plans.run_id", "=", "updates.run_id")
            .onRef("plans.round", "=", "updates.round")
            .onRef("plans.client_id", "=", "updates.client_id"),
        )
        .select(["plans.client_name", "updates.weight"])
        .where("updates.run_id", "=", runId)
        .where("updates.status", "=", "ACCEPTED")
        .orderBy("updates.sequence")
        .execute(),
  }
}
