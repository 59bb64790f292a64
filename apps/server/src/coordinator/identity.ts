import { readFile } from "node:fs/promises"
import { join } from "node:path"

import { hash, loadOrCreateIdentity, randomBytes, toHex, utf8, writeDurably } from "@lamina/crypto"
import type { Identity } from "@lamina/crypto"
import { LaminaError } from "@lamina/protocol/errors"

/** The coordinator's key in its data folder. */
export const KEY_FILE = "coordinator.key"

const KEY_HINT =
  "restore it from a backup: without it this federation cannot go on, and another data folder begins a new one"

/** Who the coordinator is: it signs headers, plans and receipts, and enrols nobody. */
export interface CoordinatorIdentity {
  readonly signer: Identity
  /** H("federation" ‖ public key), 32 bytes. */
  readonly federationId: Uint8Array
  readonly adminToken: string
}

/** Reads coordinator.key and admin.token of the data folder, and makes them (mode 0600) at the first start. */
export async function loadIdentity(dataDir: string): Promise<CoordinatorIdentity> {
  const signer = await loadOrCreateIdentity(join(dataDir, KEY_FILE), KEY_HINT)
  const adminToken = await loadOrCreateToken(join(dataDir, "admin.token"))
  return { signer, federationId: hash(utf8("federation"), signer.publicKey), adminToken }
}

async function loadOrCreateToken(path: string): Promise<string> {
  const text = await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT") return undefined
    throw new LaminaError("FILE_UNREADABLE", `expected to read ${path}, got ${cause.code ?? cause.message}`, { cause })
  })
  if (text === undefined) {
    const token = toHex(randomBytes(32))
    await writeDurably(path, utf8(`${token}\n`))
    return token
  }
  const token = text.trim()
  if (!/^[\x21-\x7e]{16,200}$/.test(token))
    throw new LaminaError(
      "FILE_UNREADABLE",
      `expected a token of 16 to 200 printable characters in ${path}, got another text`,
      {
        hint: "remove the file to have a new token made",
      },
    )
  return token
}
