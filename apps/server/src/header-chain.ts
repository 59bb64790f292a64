import { hash, toHex, verify } from "@lamina/crypto"
import { messages } from "@lamina/protocol"
import { LaminaError } from "@lamina/protocol/errors"

import type { RoundRow } from "./store/schema.js"

/**
 * Checks a run's rounds, in order, against the headers that the coordinator signed for them: each names the global
 * adapter that the rounds before it published, so that all hashes but the last are signed, and clients have seen them.
 * Throws BLOB_CORRUPT naming the round.
 */
export function checkHeaders(coordinatorKey: Uint8Array | undefined, rows: readonly RoundRow[]): void {
  let published = ""
  for (const { round, header, header_hash, header_signature, adapter_hash } of rows) {
    const isSigned =
      coordinatorKey !== undefined &&
      toHex(hash(header)) === header_hash &&
      verify(coordinatorKey, header_signature, "lamina/v1/header", header)
    if (!isSigned)
      throw new LaminaError(
        "BLOB_CORRUPT",
        `round ${round}: expected a header that the coordinator signed, got another`,
      )
    const named = toHex(messages.RoundHeader.decode(header).globalAdapterHash)
    if (named !== published)
      throw new LaminaError(
        "BLOB_CORRUPT",
        `round ${round}: expected global adapter ${published || "none"}, as published before it, ` +
          `got ${named || "none"} in its signed header`,
      )
    published = adapter_hash ?? published
  }
}
