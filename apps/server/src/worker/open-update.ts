import { readFile } from "node:fs/promises"

import { equalBytes, headerOf, leavesOf, openEnvelope, rootOf } from "@lamina/crypto"
import { decodeUpdate, messages } from "@lamina/protocol"
import type { UpdateContent } from "@lamina/protocol"
import { LaminaError } from "@lamina/protocol/errors"

import type { RoundSecret, SealedUpdate } from "./jobs.js"

/**
 * Reads, verifies, opens and decodes one sealed update. Throws BLOB_CORRUPT where the disk no longer holds what was
 * made durable, ENVELOPE_REJECTED, or what decodeUpdate throws. Its values are not judged here.
 */
export async function openUpdate(update: SealedUpdate, secret: RoundSecret): Promise<UpdateContent> {
  const envelope = await readFile(update.path)
  if (envelope.byteLength !== update.envelopeBytes || !equalBytes(rootOf(leavesOf(envelope)), update.envelopeRoot))
    throw new LaminaError(
      "BLOB_CORRUPT",
      `the envelope of client ${update.clientId}: expected the bytes that were uploaded, got others`,
    )
  if (!equalBytes(headerOf(envelope), update.header))
    throw new LaminaError("ENVELOPE_REJECTED", "expected the header that was signed, got another inside the envelope")
  const { clientId } = messages.EnvelopeHeader.decode(update.header)
  const expected = { federationId: secret.federationId, roundHeaderHash: secret.headerHash, clientId }
  return decodeUpdate(openEnvelope(envelope, { recipientSecretKey: secret.recipientSecret, expected }))
}
