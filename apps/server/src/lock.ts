import { join } from "node:path"

import Database from "better-sqlite3"

import { LaminaError } from "@lamina/protocol/errors"

/**
 * Takes the data folder for this process. The lock is the operating system's (an exclusive SQLite transaction on
 * `coordinator.lock`), so that it ends with the process however that ends, and no stale file has to be judged. Throws
 * RUN_STATE when another coordinator holds it, FILE_UNWRITABLE where the folder cannot be written to.
 */
export function lockDataDir(dataDir: string): { release(): void } {
  const path = join(dataDir, "coordinator.lock")
  let lock: Database.Database | undefined
  try {
    lock = new Database(path, { timeout: 0 })
    lock.exec("begin exclusive")
    const held = lock
    return { release: () => held.close() }
  } catch (cause) {
    lock?.close()
    // by code: the class is another one where modules are loaded twice
    if (!(cause instanceof Error && "code" in cause && String(cause.code).startsWith("SQLITE_"))) throw cause
    if (cause.code === "SQLITE_BUSY")
      throw new LaminaError("RUN_STATE", `expected ${dataDir} to be free, got a coordinator that runs on it`, {
        cause,
        hint: "stop the other coordinator or choose another data directory",
      })
    throw new LaminaError("FILE_UNWRITABLE", `expected to write ${path}, got ${cause.message}`, {
      cause,
      hint: "choose another data directory",
    })
  }
}
