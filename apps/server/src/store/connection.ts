import Database from "better-sqlite3"
import { Kysely, Migrator, SqliteDialect } from "kysely"

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
  /** A second connection that reads: it sees what is durable and nothing else, and waits for nobody. */
  readonly reader: Database.Database
  /** Truncates the write-ahead log and closes the file. */
  close(): Promise<void>
}

/**
 * Opens (or creates) the database file and brings its schema up to date. WAL with synchronous=FULL: in NORMAL a
 * committed transaction can be lost at power loss, and an acknowledgement would be a lie.
 */
export async function connect(file: string): Promise<Connection> {
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
  return {
    ...{ db, sqlite, reader, writes: new WriteQueue(sqlite, exclusively) },
    close: async () => {
      reader.close()
      sqlite.pragma("wal_checkpoint(TRUNCATE)")
      await db.destroy()
    },
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
