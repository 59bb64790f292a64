import type { Connection } from "./connection.js"
import type { UploadRow } from "./schema.js"
import { insertStatement, oneRow } from "./statements.js"
import type { Store } from "./store.js"

const COLUMNS = [
  ...["id", "run_id", "round", "client_id", "header", "signature", "leaves"],
  ...["envelope_root", "envelope_bytes", "opened_ms"],
]

/** An upload whose round is over keeps its row, emptied. */
const EMPTY = new Uint8Array(0)

/** Uploads on their way in. */
export function uploadRows({
  db,
  sqlite,
  writes,
  reader,
}: Connection): Pick<Store, "upload" | "openUpload" | "uploadIds" | "forgetUploads"> {
  const remove = sqlite.prepare(
    "delete from uploads where run_id = @run_id and round = @round and client_id = @client_id returning id",
  )
  const insert = insertStatement(sqlite, "uploads", COLUMNS)
  return {
    upload: oneRow<UploadRow>(reader, "select * from uploads where id = ?"),
    openUpload: (row) =>
      writes.write(() => {
        const { run_id, round, client_id } = row
        const older = remove.get({ run_id, round, client_id }) as { id: string } | undefined
        insert.run(row)
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
