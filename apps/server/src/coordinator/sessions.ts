import { clientIdOf, equalBytes, hash, randomBytes, toHex, utf8, verify } from "@lamina/crypto"
import { LaminaError } from "@lamina/protocol/errors"
import { LIMITS } from "@lamina/protocol"
import type { Capability, Challenge, OpenSession, Session } from "@lamina/protocol"

import type { Store } from "../store/store.js"
import type { CoordinatorEvents } from "./events.js"
import type { CoordinatorIdentity } from "./identity.js"

const PROTOCOL_VERSION = 1
/** A token outlives its socket by this much, so that an upload goes on while the socket comes back. */
const TOKEN_GRACE_MS = 10 * 60_000

/** A client with at least one open socket. */
interface ConnectedClient {
  readonly id: string
  readonly publicKey: Uint8Array
  readonly name: string
  readonly capability: Capability
  readonly sockets: Set<string>
}

interface SessionContext {
  readonly identity: CoordinatorIdentity
  readonly store: Store
  readonly events: CoordinatorEvents
  readonly now: () => number
  readonly software: string
  readonly joinToken?: string | undefined
}

/** Who is connected, and whose token is whose. In memory only: after a restart clients open new sessions. */
export class Sessions {
  readonly connected = new Map<string, ConnectedClient>()
  readonly #tokens = new Map<string, { clientId: string; expiresMs: number }>()
  /** Socket -> its token. */
  readonly #tokenOf = new Map<string, string>()

  constructor(private readonly context: SessionContext) {}

  /** A fresh nonce with who asks for it. */
  challenge(): Challenge {
    const { identity, software } = this.context
    return {
      nonce: randomBytes(32),
      federationId: identity.federationId,
      coordinatorKey: identity.signer.publicKey,
      software,
    }
  }

  /** Registers the client behind a signed nonce. Throws PROTOCOL_VERSION, SESSION_REJECTED. */
  async open(
    request: OpenSession,
    { nonce, socketId }: { nonce: Uint8Array; socketId: string },
  ): Promise<{ clientId: string; session: Session }> {
    const { identity, store, events, now, joinToken } = this.context
    if (request.version !== PROTOCOL_VERSION)
      throw new LaminaError("PROTOCOL_VERSION", `expected protocol version ${PROTOCOL_VERSION}, got ${request.version}`)
    const parts = [identity.federationId, nonce, request.publicKey]
    if (!verify(request.publicKey, request.signature, "lamina/v1/session", ...parts))
      throw new LaminaError("SESSION_REJECTED", "expected a signature over this federation's nonce, got another")
    if (!tokenMatches(joinToken, request.joinToken))
      throw new LaminaError(
        "SESSION_REJECTED",
        `expected the join token of this coordinator, got ${request.joinToken === "" ? "none" : "another"}`,
      )
    const name = checkedName(request.name)
    const { capability } = request
    const clientIdBytes = clientIdOf(request.publicKey)
    const id = toHex(clientIdBytes)
    const nowMs = now()
    await store.upsertClient({
      id,
      public_key: request.publicKey,
      name,
      capability: JSON.stringify(capability),
      first_seen_ms: nowMs,
      last_seen_ms: nowMs,
    })
    const token = toHex(randomBytes(32))
    this.#tokenOf.set(socketId, token)
    this.#tokens.set(token, { clientId: id, expiresMs: Infinity })
    const sockets = this.connected.get(id)?.sockets ?? new Set()
    this.connected.set(id, { id, publicKey: request.publicKey, name, capability, sockets: sockets.add(socketId) })
    events.tell("clientJoined", { clientId: id, client: name })
    return { clientId: id, session: { clientId: clientIdBytes, token, serverTimeMs: nowMs } }
  }

  /** A socket is gone; its client is, once the last of its sockets is. */
  leave(clientId: string, socketId: string): void {
    const session = this.#tokens.get(this.#tokenOf.get(socketId) ?? "")
    if (session?.clientId === clientId) {
      this.#tokenOf.delete(socketId)
      session.expiresMs = this.context.now() + TOKEN_GRACE_MS
    }
    const client = this.connected.get(clientId)
    if (!client?.sockets.delete(socketId) || client.sockets.size > 0) return
    this.connected.delete(clientId)
    this.context.events.tell("clientLeft", { clientId, client: client.name })
  }

  /** The client of a token. Throws SESSION_EXPIRED. */
  clientOf(token: string): string {
    const session = this.#tokens.get(token)
    if (!session || session.expiresMs <= this.context.now())
      throw new LaminaError("SESSION_EXPIRED", "expected the token of an open session, got another")
    return session.clientId
  }

  /** Forgets tokens whose time is over. */
  sweep(): void {
    const nowMs = this.context.now()
    for (const [token, session] of this.#tokens) if (session.expiresMs <= nowMs) this.#tokens.delete(token)
  }
}

function tokenMatches(expected: string | undefined, got: string): boolean {
  return expected === undefined || equalBytes(hash(utf8(expected)), hash(utf8(got)))
}

function checkedName(name: string): string {
  if (utf8(name).length > LIMITS.nameBytesMax || !/^[^\p{C}\s](?:[^\p{C}]*[^\p{C}\s])?$/u.test(name))
    throw new LaminaError("SESSION_REJECTED", `expected a client name of 1 to ${LIMITS.nameBytesMax} printable bytes`)
  return name
}
