import { join } from "node:path"

import Database from "better-sqlite3"

import { LaminaError } from "@lamina/protocol/errors"

/**
 * Takes the data folder for this process. The lock is the operating system's (an exclusive SQLite transaction on
 * `coordinator.lock`), so that it ends with the process however that ends, and no stale file has to be judged. Throws
 * RUN_STATE when another coordinator holds it.
 */
export function lockDataDir(dataDir: string): { release(): void } {
  const lock = new Database(join(dataDir, "coordinator.lock"), { timeout: 0 })
  try {
    lock.exec("begin exclusive")
  } catch (error) {
    lock.close()
    if (!(error instanceof Error && "code" in error && error.code === "SQLITE_BUSY")) throw error
    throw new LaminaError("RUN_STATE", `expected ${dataDir} to be free, got a coordinator that runs on it`, {
      cause: error,
      hint: "stop the other coordinator or choose another data directory",
    })
  }
  return { release: () => lock.close() }
}
