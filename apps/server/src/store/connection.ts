import { closeSync, fdatasync, openSync } from "node:fs"
import { dirname } from "node:path"
import { promisify } from "node:util"

import { syncFolder } from "@lamina/crypto"
import Database from "better-sqlite3"
import { Kysely, Migrator, SqliteDialect } from "kysely"

import { Gathered } from "../blobs/gathered.js"
import { PRIVATE_FILE, closeToOthers } from "../private.js"
import { migrations } from "./migrations.js"
import type { Schema } from "./schema.js"
import { WriteQueue } from "./write-queue.js"

/** Distinct statements kept prepared; the store has some sixty. */
const STATEMENTS_MAX = 256

export interface Connection {
  readonly db: Kysely<Schema>
  /** The same connection without a query builder, for the writes of every update; inside `writes` alone. */
  readonly sqlite: Database.Database
  readonly writes: WriteQueue
  /** A second connection that reads: it sees what is committed, and waits for nobody. See `writes.durable`. */
  readonly reader: Database.Database
  /** Truncates the write-ahead log and closes the file. */
  close(): Promise<void>
}

/**
 * Opens (or creates) the database file and brings its schema up to date. WAL with synchronous=FULL: in NORMAL a
 * committed transaction can be lost at power loss, and an acknowledgement would be a lie. `writes` syncs by itself.
 */
export async function connect(file: string): Promise<Connection> {
  closeSync(openSync(file, "a", PRIVATE_FILE)) // SQLite gives its log the mode of the database
  for (const suffix of ["", "-wal", "-shm"]) closeToOthers(`${file}${suffix}`, PRIVATE_FILE)
  const sqlite = new Database(file)
  sqlite.pragma("journal_mode = WAL")
  sqlite.pragma("synchronous = FULL")
  sqlite.pragma("busy_timeout = 5000")
  sqlite.pragma("foreign_keys = ON")
  const db = new Kysely<Schema>({ dialect: new SqliteDialect({ database: prepared(sqlite) }) })
  const { error } = await new Migrator({
    db,
    provider: { getMigrations: async () => ({ ...migrations }) },
  }).migrateToLatest()
  if (error) {
    sqlite.close()
    throw error
  }
  const reader = new Database(file, { readonly: true })
  const exclusively = (work: () => void) => db.connection().execute(async () => work())
  const log = new Log(`${file}-wal`)
  return {
    ...{ db, sqlite, reader, writes: new WriteQueue(sqlite, { exclusively, sync: () => log.sync() }) },
    close: async () => {
      log.close()
      reader.close()
      sqlite.pragma("wal_checkpoint(TRUNCATE)")
      await db.destroy()
    },
  }
}

const synced = promisify(fdatasync)

/** The write-ahead log as a file of ours: SQLite locks the other two, so that this one may be closed again. */
class Log {
  #file: number | undefined
  readonly #syncs = new Gathered<undefined, undefined>(async (asked) => {
    if (this.#file === undefined) {
      this.#file = openSync(this.path, "r+")
      await syncFolder(dirname(this.path)) // SQLite makes the log's name durable when it syncs the log itself
    }
    await synced(this.#file)
    return asked
  })

  constructor(private readonly path: string) {}

  /** What was committed before is durable when it resolves. After a failure nobody knows: it ends the process. */
  async sync(): Promise<void> {
    try {
      await this.#syncs.ask(undefined)
    } catch (cause) {
      throw Object.assign(new Error(`cannot sync ${this.path}`, { cause }), { code: "EIO" })
    }
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file)
    this.#file = undefined
  }
}

/** Keeps statements prepared between calls: kysely compiles to the same text again and again. */
function prepared(sqlite: Database.Database) {
  const statements = new Map<string, Database.Statement>()
  return {
    close: () => sqlite.close(),
    prepare(text: string) {
      const known = statements.get(text)
      if (known) return known
      const statement = sqlite.prepare(text)
      if (statements.size < STATEMENTS_MAX) statements.set(text, statement)
      return statement
    },
  }
}
