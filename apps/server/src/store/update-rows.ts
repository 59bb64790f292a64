import type { Connection } from "./connection.js"
import { logStatements } from "./round-rows.js"
import type { UpdateRow } from "./schema.js"
import { allRows, insertStatement, oneRow } from "./statements.js"
import type { RecordedAnswer, Store } from "./store.js"

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
  const { logAll } = logStatements(sqlite)
  const update = oneRow<UpdateRow>(reader, `${OF_ROUND} and client_id = ?`)
  return {
    recordUpdates: (answers) =>
      writes.write(() => {
        let { sequence } = last.get() as { sequence: number }
        const sequences = answers.map(({ update }) => {
          if (!update) return 0
          insert.run({ ...update, sequence: ++sequence })
          return sequence
        })
        for (const { runId, round, accepted, rejected } of countsOf(answers))
          count.run(accepted, rejected, runId, round)
        logAll(answers.map(({ logged }) => logged))
        return sequences
      }),
    update: async (...key) => {
      const row = await update(...key)
      if (row) await writes.durable() // it is an answer that somebody is going to be told
      return row
    },
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

/** What is to be added to each round: its row holds the whole cohort, and is written once for all of them. */
function countsOf(answers: readonly RecordedAnswer[]) {
  const counts = new Map<string, { runId: string; round: number; accepted: number; rejected: number }>()
  for (const { update } of answers) {
    if (!update) continue
    const { run_id: runId, counted_round, status } = update
    const round = counted_round ?? update.round
    const known = counts.get(`${runId} ${round}`) ?? { runId, round, accepted: 0, rejected: 0 }
    counts.set(`${runId} ${round}`, known)
    known[status === "ACCEPTED" ? "accepted" : "rejected"] += 1
  }
  return counts.values()
}
