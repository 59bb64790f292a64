import type { Kysely } from "kysely"

import { eraseSecrets } from "./round-ends.js"
import type { Schema } from "./schema.js"
import type { Store } from "./store.js"

/** Runs and the bases they train on. */
export function runRows(
  db: Kysely<Schema>,
): Pick<Store, "createRun" | "run" | "runs" | "endRun" | "base" | "baseFile" | "adapters"> {
  return {
    createRun: (run, base) =>
      db.transaction().execute(async (tx) => {
        // the same base may come from another folder now: the newest place wins
        const { folder } = base.row
        await tx
          .insertInto("bases")
          .values(base.row)
          .onConflict((conflict) => conflict.column("hash").doUpdateSet({ folder }))
          .execute()
        for (const file of base.files)
          await tx
            .insertInto("base_files")
            .values(file)
            .onConflict((conflict) => conflict.doNothing())
            .execute()
        await tx.insertInto("runs").values(run).execute()
      }),
    run: (id) => db.selectFrom("runs").selectAll().where("id", "=", id).executeTakeFirst(),
    runs: () => db.selectFrom("runs").selectAll().orderBy("created_ms").orderBy("id").execute(),
    endRun: (id, { state, reason, atMs }) =>
      db.transaction().execute(async (tx) => {
        await tx
          .updateTable("runs")
          .set({ state, reason: reason ?? null, ended_ms: atMs })
          .where("id", "=", id)
          .where("state", "=", "active")
          .execute()
        await eraseSecrets(tx, id, Number.MAX_SAFE_INTEGER)
      }),
    base: (hash) => db.selectFrom("bases").selectAll().where("hash", "=", hash).executeTakeFirst(),
    baseFile: (hash) =>
      db
        .selectFrom("base_files")
        .innerJoin("bases", "bases.hash", "base_files.base_hash")
        .selectAll("base_files")
        .select("bases.folder")
        .where("base_files.hash", "=", hash)
        .limit(1)
        .executeTakeFirst(),
    adapters: () => db.selectFrom("adapters").selectAll().orderBy("run_id").orderBy("round").execute(),
  }
}
