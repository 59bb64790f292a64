import type { Connection } from "./connection.js"
import type { ClientRow } from "./schema.js"
import { insertStatement, oneRow } from "./statements.js"
import type { Store } from "./store.js"

const COLUMNS = ["id", "public_key", "name", "capability", "first_seen_ms", "last_seen_ms"]

/** The federation and its clients. */
export function clientRows({
  db,
  sqlite,
  writes,
  reader,
}: Connection): Pick<Store, "federation" | "createFederation" | "upsertClient" | "client" | "clients"> {
  const refresh = "name = excluded.name, capability = excluded.capability, last_seen_ms = excluded.last_seen_ms"
  const upsert = insertStatement(sqlite, "clients", COLUMNS, `on conflict (id) do update set ${refresh}`)
  return {
    federation: () => db.selectFrom("federations").selectAll().executeTakeFirst(),
    createFederation: async (row) => {
      await db.insertInto("federations").values(row).execute()
    },
    upsertClient: (row) => writes.write(() => void upsert.run(row)),
    client: oneRow<ClientRow>(reader, "select * from clients where id = ?"),
    clients: () => db.selectFrom("clients").selectAll().orderBy("name").orderBy("id").execute(),
  }
}
