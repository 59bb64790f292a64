import type { Kysely } from "kysely"

import type { Schema } from "./schema.js"
import type { Store } from "./store.js"

/** The federation and its clients. */
export function clientRows(
  db: Kysely<Schema>,
): Pick<Store, "federation" | "createFederation" | "upsertClient" | "client" | "clients"> {
  return {
    federation: () => db.selectFrom("federations").selectAll().executeTakeFirst(),
    createFederation: async (row) => {
      await db.insertInto("federations").values(row).execute()
    },
    upsertClient: async (row) => {
      const { name, capability, last_seen_ms } = row
      await db
        .insertInto("clients")
        .values(row)
        .onConflict((conflict) => conflict.column("id").doUpdateSet({ name, capability, last_seen_ms }))
        .execute()
    },
    client: (id) => db.selectFrom("clients").selectAll().where("id", "=", id).executeTakeFirst(),
    clients: () => db.selectFrom("clients").selectAll().orderBy("name").orderBy("id").execute(),
  }
}
