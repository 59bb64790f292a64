import { equalBytes, hash, toHex, verify } from "@lamina/crypto"
import type { ErrorCode, Plan, Receipt, RoundHeader, TaskOffer } from "@lamina/protocol"
import { errorCodeOfWire, factorCount, LaminaError, messages, plannedPrecisions } from "@lamina/protocol"

import type { ReceiptStatus } from "./events.js"
import { PROTOCOL_VERSION } from "./session/handshake.js"

/** Who must have signed, and for whom. */
export interface Parties {
  readonly coordinatorKey: Uint8Array
  readonly federationId: Uint8Array
  readonly clientId: Uint8Array
}

/** An offer that is what it says: signed by the pinned coordinator, for this client, of this federation. */
export interface VerifiedTask {
  readonly runId: string
  readonly round: number
  readonly header: RoundHeader
  /** RH: hash of the header bytes as received. */
  readonly headerHash: Uint8Array
  readonly plan: Plan
}

const RUN_ID = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/

/**
 * Checks the signatures over the exact bytes received, then what they say. Throws SIGNATURE_INVALID,
 * PROTOCOL_VERSION, FRAME_MALFORMED, ROUND_MISMATCH (another run or federation): a coordinator that sends any of
 * these is not one to work for.
 */
export function verifyOffer(offer: TaskOffer, parties: Parties): VerifiedTask {
  const { coordinatorKey, clientId } = parties
  if (!isSignedHeader(coordinatorKey, offer))
    throw new LaminaError("SIGNATURE_INVALID", "round header: expected the coordinator's signature, got another")
  const headerHash = hash(offer.header)
  if (!verify(coordinatorKey, offer.planSignature, "lamina/v1/plan", headerHash, clientId, offer.plan))
    throw new LaminaError(
      "SIGNATURE_INVALID",
      "plan: expected the coordinator's signature for this client and round, got another",
    )
  const header = checkHeader(messages.RoundHeader.decode(offer.header), offer, parties)
  return { runId: header.runId, round: header.round, header, headerHash, plan: messages.Plan.decode(offer.plan) }
}

/** The last header that was found in order: all clients of a process get the same one. */
let signedHeader: readonly Uint8Array[] = []

function isSignedHeader(coordinatorKey: Uint8Array, { header, headerSignature }: TaskOffer): boolean {
  const parts = [coordinatorKey, headerSignature, header]
  if (signedHeader.length > 0 && parts.every((part, i) => equalBytes(part, signedHeader[i] as Uint8Array))) return true
  if (!verify(coordinatorKey, headerSignature, "lamina/v1/header", header)) return false
  signedHeader = parts.map((part) => Uint8Array.from(part))
  return true
}

function checkHeader(header: RoundHeader, offer: TaskOffer, parties: Parties): RoundHeader {
  if (header.version !== PROTOCOL_VERSION)
    throw new LaminaError(
      "PROTOCOL_VERSION",
      `round header: expected version ${PROTOCOL_VERSION}, got ${header.version}`,
    )
  if (header.runId !== offer.runId || !equalBytes(header.federationId, parties.federationId))
    throw new LaminaError(
      "ROUND_MISMATCH",
      `round header: expected run ${offer.runId} of this federation, got ${header.runId}`,
    )
  // the run id becomes part of a path on this disk
  if (!RUN_ID.test(header.runId))
    throw new LaminaError("FRAME_MALFORMED", "round header: expected a run id of letters, digits, dots and dashes")
  if (![0, 32].includes(header.globalAdapterHash.length))
    throw new LaminaError(
      "FRAME_MALFORMED",
      `round header: global adapter hash of ${header.globalAdapterHash.length} bytes`,
    )
  if (header.hardDeadlineMs < header.softDeadlineMs)
    throw new LaminaError("FRAME_MALFORMED", "round header: hard deadline before the soft one")
  return header
}

/**
 * Throws PLAN_UNSUPPORTED for a plan that is in order and that this client does not follow: a merge into a quantized
 * base, where the update would be rounded away, and an update above `uploadBytesMax` (0: any).
 */
export function checkSupported(plan: Plan, { uploadBytesMax }: { uploadBytesMax: number }): void {
  if (!plannedPrecisions({ merge: plan.mergeGlobal }).includes(plan.precision))
    throw new LaminaError(
      "PLAN_UNSUPPORTED",
      `plan: expected f32 or bf16 to merge the global adapter into, got ${plan.precision}`,
      { hint: "the recipe merges: let this client hold the base as bf16" },
    )
  const values = factorCount(plan.modules)
  if (uploadBytesMax > 0 && 4 * values > uploadBytesMax)
    throw new LaminaError(
      "PLAN_UNSUPPORTED",
      `plan: expected an update of at most ${uploadBytesMax} bytes, got one of ${4 * values} bytes of factors`,
      { hint: "raise this client's upload limit, or lower its rank" },
    )
}

/** What a verified receipt says about the update it names. */
interface VerifiedReceipt {
  readonly status: ReceiptStatus
  readonly code?: ErrorCode
  readonly sequence: number
}

interface ReceiptSubject {
  readonly headerHash: Uint8Array
  readonly envelopeRoot: Uint8Array
}

/**
 * Throws SIGNATURE_INVALID unless the pinned coordinator signed exactly this answer to exactly this update of this
 * client.
 */
export function verifyReceipt(receipt: Receipt, subject: ReceiptSubject, parties: Parties): VerifiedReceipt {
  if (!verify(parties.coordinatorKey, receipt.signature, "lamina/v1/receipt", receipt.body))
    throw new LaminaError("SIGNATURE_INVALID", "receipt: expected the coordinator's signature, got another")
  const body = messages.ReceiptBody.decode(receipt.body)
  if (!equalBytes(body.envelopeRoot, subject.envelopeRoot) || !equalBytes(body.clientId, parties.clientId))
    throw new LaminaError(
      "SIGNATURE_INVALID",
      `receipt: expected one for ${toHex(subject.envelopeRoot)}, got ${toHex(body.envelopeRoot)}`,
    )
  if (!equalBytes(body.roundHeaderHash, subject.headerHash))
    throw new LaminaError("SIGNATURE_INVALID", "receipt: expected one for this round, got another round's")
  const code = body.code === 0 ? undefined : errorCodeOfWire(body.code)
  return { status: body.status, code, sequence: body.sequence }
}
