import { clientRows } from "./client-rows.js"
import { connect } from "./connection.js"
import { onDisk } from "./disk-errors.js"
import type { OnDiskFailure } from "./disk-errors.js"
import { roundEnds } from "./round-ends.js"
import { roundRows } from "./round-rows.js"
import { runRows } from "./run-rows.js"
import type { Store } from "./store.js"
import { updateRows } from "./update-rows.js"
import { uploadRows } from "./upload-rows.js"

/** Opens the store in a SQLite file (created when missing, migrated when old). */
export async function openSqliteStore(file: string, onFailure: OnDiskFailure): Promise<Store> {
  const connection = await onDisk(() => connect(file), onFailure)
  const methods: Store = {
    file,
    ...clientRows(connection),
    ...runRows(connection.db),
    ...roundRows(connection),
    ...roundEnds(connection.db),
    ...uploadRows(connection),
    ...updateRows(connection),
    close: connection.close,
  }
  return new Proxy(methods, {
    get(target, name: keyof Store) {
      const method = target[name] as string | ((...args: unknown[]) => Promise<unknown>)
      return typeof method === "function" ? (...args: unknown[]) => onDisk(() => method(...args), onFailure) : method
    },
  })
}
