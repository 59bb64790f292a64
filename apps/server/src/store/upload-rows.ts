import type { Connection } from "./connection.js"
import type { UploadRow } from "./schema.js"
import { allRows, insertStatement, oneRow } from "./statements.js"
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
}: Connection): Pick<
  Store,
  "upload" | "uploads" | "openUpload" | "uploadIds" | "forgetUploads" | "putEnvelope" | "envelope"
> {
  const remove = sqlite.prepare(
    "delete from uploads where run_id = @run_id and round = @round and client_id = @client_id returning id",
  )
  const insert = insertStatement(sqlite, "uploads", COLUMNS)
  const empty = sqlite.prepare(
    `update uploads set header = x'', signature = x'', leaves = x'' where leaves != x'' and exists (
      select 1 from rounds where rounds.run_id = uploads.run_id and rounds.round = uploads.round
      and rounds.ended_ms is not null and rounds.recipient_secret is null) returning id, envelope_bytes`,
  )
  // a chunk may come behind the end of its round
  const putEnvelope = sqlite.prepare(
    `insert or replace into envelopes (upload_id, bytes)
      select @id, @bytes where exists (select 1 from uploads where id = @id and leaves != x'')`,
  )
  const removeEnvelope = sqlite.prepare("delete from envelopes where upload_id = ?")
  const envelope = oneRow<{ bytes: Uint8Array }>(reader, "select bytes from envelopes where upload_id = ?")
  return {
    upload: oneRow<UploadRow>(reader, "select * from uploads where id = ?"),
    uploads: allRows<UploadRow>(reader, "select * from uploads where run_id = ? and round = ?"),
    openUpload: (row, bytes) =>
      writes.write(() => {
        const { run_id, round, client_id } = row
        const older = remove.get({ run_id, round, client_id }) as { id: string } | undefined
        if (older) removeEnvelope.run(older.id)
        insert.run(row)
        if (bytes) putEnvelope.run({ id: row.id, bytes })
        return older?.id
      }),
    uploadIds: async () => {
      const rows = await db.selectFrom("uploads").select("id").where("leaves", "!=", EMPTY).execute()
      return rows.map(({ id }) => id)
    },
    forgetUploads: () =>
      writes.write(() => {
        const gone = empty.all() as Pick<UploadRow, "id" | "envelope_bytes">[]
        for (const { id } of gone) removeEnvelope.run(id)
        return gone
      }),
    putEnvelope: (uploadId, bytes) => writes.write(() => void putEnvelope.run({ id: uploadId, bytes })),
    envelope: async (uploadId) => (await envelope(uploadId))?.bytes,
  }
}
