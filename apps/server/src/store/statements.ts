import type Database from "better-sqlite3"

/** The names of a statement's parameters are those of a row's columns. */
type Row = object

/** Reads one row; missing: undefined. Arguments in the order of the question marks. */
export function oneRow<T extends Row>(reader: Database.Database, text: string) {
  const statement = reader.prepare(text)
  return async (...values: readonly (string | number)[]): Promise<T | undefined> =>
    statement.get(...values) as T | undefined
}

/** Reads all rows. */
export function allRows<T extends Row>(reader: Database.Database, text: string) {
  const statement = reader.prepare(text)
  return async (...values: readonly (string | number)[]): Promise<T[]> => statement.all(...values) as T[]
}

/** Inserts a row of these columns; `rest` ends the statement (a conflict clause, a returning clause). */
export function insertStatement(
  sqlite: Database.Database,
  table: string,
  columns: readonly string[],
  rest = "",
): Database.Statement {
  const values = columns.map((column) => `@${column}`).join(", ")
  return sqlite.prepare(`insert into ${table} (${columns.join(", ")}) values (${values}) ${rest}`)
}
