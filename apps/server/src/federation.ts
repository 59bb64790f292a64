import { readdirSync, statSync } from "node:fs"
import { join } from "node:path"

import { toHex } from "@lamina/crypto"
import { LaminaError } from "@lamina/protocol/errors"

import { KEY_FILE, loadIdentity } from "./coordinator/identity.js"
import type { CoordinatorIdentity } from "./coordinator/identity.js"
import type { OnDiskFailure } from "./store/disk-errors.js"
import { openSqliteStore } from "./store/sqlite-store.js"
import type { Store } from "./store/store.js"

/** Who the coordinator of a data folder is, and what it knows. */
interface OpenedFederation {
  readonly identity: CoordinatorIdentity
  readonly store: Store
  readonly createdMs: number
}

/**
 * Opens the database and the keys of a data folder, whose subfolders must exist, and makes them at the first start.
 * Throws FILE_UNREADABLE, and makes no key, where one of database and key is missing or they are of two federations.
 */
export async function openFederation(
  dataDir: string,
  { nowMs, onDiskFailure }: { readonly nowMs: number; readonly onDiskFailure: OnDiskFailure },
): Promise<OpenedFederation> {
  const file = join(dataDir, "lamina.db")
  checkDatabase(dataDir, file)
  const store = await openSqliteStore(file, onDiskFailure)
  try {
    const known = await store.federation()
    if (known && !isThere(join(dataDir, KEY_FILE))) throw otherKey(known.id, "no file")
    const identity = await loadIdentity(dataDir)
    const id = toHex(identity.federationId)
    if (known && known.id !== id) throw otherKey(known.id, `that of ${id}`)
    if (!known) await store.createFederation({ id, coordinator_key: identity.signer.publicKey, created_ms: nowMs })
    return { identity, store, createdMs: known?.created_ms ?? nowMs }
  } catch (error) {
    await store.close().catch(() => undefined) // the failure before it is the one to tell
    throw error
  }
}

/** A coordinator that published something has a database: an empty one in its place would forget every run. */
function checkDatabase(dataDir: string, file: string): void {
  if (isThere(file) && statSync(file).size > 0) return
  if (!isThere(join(dataDir, KEY_FILE)) || readdirSync(join(dataDir, "adapters")).length === 0) return
  const got = isThere(file) ? "an empty file" : "none"
  throw new LaminaError(
    "FILE_UNREADABLE",
    `expected the database of the adapters in ${dataDir} at ${file}, got ${got}`,
    {
      hint: "restore lamina.db from a backup, or start with another data folder: a new federation",
    },
  )
}

function otherKey(federation: string, got: string): LaminaError {
  return new LaminaError("FILE_UNREADABLE", `expected the key of federation ${federation} in ${KEY_FILE}, got ${got}`, {
    hint: `restore ${KEY_FILE} together with lamina.db`,
  })
}

function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined
}
