import { sql } from "kysely"
import type { Kysely } from "kysely"

import { logEvent } from "./round-rows.js"
import type { Schema } from "./schema.js"
import type { Store } from "./store.js"

/** The durable answers to commits. */
export function updateRows(
  db: Kysely<Schema>,
): Pick<Store, "recordUpdate" | "update" | "updates" | "carriedUpdates" | "weights"> {
  return {
    recordUpdate: (update, logged) =>
      db.transaction().execute(async (tx) => {
        const next = sql<number>`(select coalesce(max(sequence), 0) + 1 from updates)`
        const { sequence } = await tx
          .insertInto("updates")
          .values({ ...update, sequence: next })
          .returning("sequence")
          .executeTakeFirstOrThrow()
        const counter = update.status === "ACCEPTED" ? ("accepted" as const) : ("rejected" as const)
        await tx
          .updateTable("rounds")
          .set((row) => ({ [counter]: row(counter, "+", 1) }))
          .where("run_id", "=", update.run_id)
          .where("round", "=", update.counted_round ?? update.round)
          .execute()
        await logEvent(tx, logged)
        return sequence
      }),
    update: (runId, round, clientId) =>
      updatesOf(db, runId, round).where("client_id", "=", clientId).executeTakeFirst(),
    updates: (runId, round) => updatesOf(db, runId, round).orderBy("sequence").execute(),
    carriedUpdates: (runId, countedRound) =>
      db
        .selectFrom("updates")
        .selectAll()
        .where("run_id", "=", runId)
        .where("counted_round", "=", countedRound)
        .whereRef("counted_round", "!=", "round")
        .orderBy("sequence")
        .execute(),
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

function updatesOf(db: Kysely<Schema>, runId: string, round: number) {
  return db.selectFrom("updates").selectAll().where("run_id", "=", runId).where("round", "=", round)
}
