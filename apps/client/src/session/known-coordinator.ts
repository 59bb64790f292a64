import { toHex } from "@lamina/crypto"
import { LaminaError } from "@lamina/protocol"

import { readIfThere, writeDurable } from "../durable.js"

/** The two things a coordinator never changes: the key it signs with, and its federation. */
export interface CoordinatorIdentity {
  readonly coordinatorKey: Uint8Array
  readonly federationId: Uint8Array
}

/**
 * Trust on first use: the first coordinator met from this work folder is written to `path`, and no other is accepted
 * there later. Throws COORDINATOR_CHANGED with both keys' beginnings.
 */
export async function pinCoordinator(path: string, met: CoordinatorIdentity): Promise<void> {
  const now = { coordinatorKey: toHex(met.coordinatorKey), federationId: toHex(met.federationId) }
  const bytes = await readIfThere(path)
  if (!bytes) {
    await writeDurable(path, new TextEncoder().encode(`${JSON.stringify(now)}\n`))
    return
  }
  const known = parsePin(bytes, path)
  for (const field of ["coordinatorKey", "federationId"] as const)
    if (known[field] !== now[field])
      throw new LaminaError(
        "COORDINATOR_CHANGED",
        `${field}: expected ${known[field].slice(0, 16)}… as met before, got ${now[field].slice(0, 16)}…`,
        { hint: `if the operator confirms the change, remove ${path}` },
      )
}

function parsePin(bytes: Uint8Array, path: string): { coordinatorKey: string; federationId: string } {
  try {
    const pin: unknown = JSON.parse(new TextDecoder().decode(bytes))
    if (typeof pin === "object" && pin !== null && "coordinatorKey" in pin && "federationId" in pin) {
      const { coordinatorKey, federationId } = pin
      if (typeof coordinatorKey === "string" && typeof federationId === "string")
        return { coordinatorKey, federationId }
    }
  } catch (cause) {
    throw unreadable(path, "JSON", cause)
  }
  throw unreadable(path, "coordinatorKey and federationId")
}

function unreadable(path: string, expected: string, cause?: unknown): LaminaError {
  return new LaminaError("FILE_UNREADABLE", `${path}: expected ${expected}, got another text`, {
    cause,
    hint: "restore it, or remove it: the next coordinator that answers at this address is then taken for the right one",
  })
}
