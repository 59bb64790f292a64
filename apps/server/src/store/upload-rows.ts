import type { Kysely } from "kysely"

import type { Schema } from "./schema.js"
import type { Store } from "./store.js"

/** An upload whose round is over keeps its row, emptied. */
const EMPTY = new Uint8Array(0)

/** Uploads on their way in. */
export function uploadRows(db: Kysely<Schema>): Pick<Store, "upload" | "openUpload" | "uploadIds" | "forgetUploads"> {
  return {
    upload: (id) => db.selectFrom("uploads").selectAll().where("id", "=", id).executeTakeFirst(),
    openUpload: (row) =>
      db.transaction().execute(async (tx) => {
        const older = await tx
          .deleteFrom("uploads")
          .where("run_id", "=", row.run_id)
          .where("round", "=", row.round)
          .where("client_id", "=", row.client_id)
          .returning("id")
          .executeTakeFirst()
        await tx.insertInto("uploads").values(row).execute()
        return older?.id
      }),
    uploadIds: async () => {
      const rows = await db.selectFrom("uploads").select("id").where("leaves", "!=", EMPTY).execute()
      return rows.map(({ id }) => id)
    },
    forgetUploads: async () => {
      const gone = await db
        .updateTable("uploads")
        .set({ header: EMPTY, signature: EMPTY, leaves: EMPTY })
        .where("leaves", "!=", EMPTY)
        .where(({ exists, selectFrom }) =>
          exists(
            selectFrom("rounds")
              .select("rounds.round")
              .whereRef("rounds.run_id", "=", "uploads.run_id")
              .whereRef("rounds.round", "=", "uploads.round")
              .where("rounds.ended_ms", "is not", null)
              .where("rounds.recipient_secret", "is", null),
          ),
        )
        .returning("id")
        .execute()
      return gone.map(({ id }) => id)
    },
  }
}
