import type { Identity } from "@lamina/crypto"
import { equalBytes, sign, toHex } from "@lamina/crypto"
import type { Capability } from "@lamina/protocol"
import { LaminaError } from "@lamina/protocol"

import { abortable } from "../timing.js"
import type { CoordinatorIdentity } from "./known-coordinator.js"
import type { Link, LinkOptions } from "./link.js"
import { connectLink } from "./link.js"
import type { Refusal } from "./requests.js"

/** Protocol version of this build, of every session and in every round header. */
export const PROTOCOL_VERSION = 1

/** A link on which the coordinator knows who we are. */
export interface OpenLink extends Link, CoordinatorIdentity {
  readonly clientId: Uint8Array
  readonly clientIdHex: string
  readonly federationIdHex: string
  /** Bearer token of the bulk transfers. */
  readonly token: string
  /** Coordinator's clock minus ours, in milliseconds: deadlines are by its clock. */
  readonly clockAheadMs: number
}

interface HandshakeOptions extends LinkOptions {
  readonly identity: Identity
  readonly name: string
  readonly joinToken: string
  readonly software: string
  readonly capability: () => Promise<Capability>
  /** ms since 1970, by this client's clock. */
  readonly now: () => number
  /** Refuses a coordinator that is not the one met before. */
  readonly pin: (met: CoordinatorIdentity) => Promise<void>
}

/** Connects and opens a session: challenge, key check, signature over the nonce. A failure closes the connection. */
export async function openLink(options: HandshakeOptions, signal: AbortSignal): Promise<OpenLink> {
  // measured first: the coordinator may not wait that long between challenge and answer
  const capability = await abortable(options.capability(), signal)
  const link = await connectLink(options, signal)
  try {
    return await abortable(open(link, options, capability), signal)
  } catch (error) {
    link.close()
    throw error
  }
}

async function open(link: Link, options: HandshakeOptions, capability: Capability): Promise<OpenLink> {
  const { identity, name, joinToken, software } = options
  const { nonce, federationId, coordinatorKey } = await link.challenge
  await options.pin({ coordinatorKey, federationId })
  const answer = await link.request("session.open", {
    publicKey: identity.publicKey,
    signature: sign(identity, "lamina/v1/session", federationId, nonce, identity.publicKey),
    name,
    capability,
    joinToken,
    version: PROTOCOL_VERSION,
    software,
  })
  if ("refusal" in answer) throw withHint(answer.refusal)
  const session = answer.ok
  if (!equalBytes(session.clientId, identity.clientId))
    throw new LaminaError(
      "FRAME_MALFORMED",
      `session: expected client id ${toHex(identity.clientId)}, got ${toHex(session.clientId)}`,
    )
  return {
    ...link,
    coordinatorKey,
    federationId,
    federationIdHex: toHex(federationId),
    clientId: session.clientId,
    clientIdHex: toHex(session.clientId),
    token: session.token,
    clockAheadMs: session.serverTimeMs - options.now(),
  }
}

/** No hint is on the wire, and of what a session needs only the join token is for people to give. */
function withHint(refusal: Refusal): Refusal | LaminaError {
  if (refusal.code !== "SESSION_REJECTED") return refusal
  return new LaminaError(refusal.code, refusal.message, {
    cause: refusal,
    hint: "the coordinator's operator has its join token: give it as --join-token, LAMINA_JOIN_TOKEN or joinToken",
  })
}
