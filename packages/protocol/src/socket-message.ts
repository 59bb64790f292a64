import { LaminaError } from "./errors.js"

/**
 * A message of the control socket around one frame (docs/protocol.md, "Transport"): a byte that says what it is, for
 * requests and replies a number that joins them (uint32, little-endian), and the frame.
 */

/** First byte of a request, by its name. Never given another meaning. */
const REQUESTS = {
  "session.open": 1,
  "round.next": 2,
  "round.progress": 3,
  "upload.open": 4,
  "upload.commit": 5,
  "round.decline": 6,
} as const
export type RequestName = keyof typeof REQUESTS

const REPLY = 0x80
const HINT = 0x81
const CHALLENGE = 0x82

const HEADER_BYTES = 5
const NAMES = new Map(Object.entries(REQUESTS).map(([name, kind]) => [kind as number, name as RequestName]))

/** A request as the coordinator gets it; `name` is undefined for one this build does not know. */
export interface SocketRequest {
  readonly name: RequestName | undefined
  readonly id: number
  readonly frame: Uint8Array
}

/** What a client gets; undefined: a kind of message this build does not know, to be left alone. */
export type SocketAnswer =
  | { readonly kind: "reply"; readonly id: number; readonly frame: Uint8Array }
  | { readonly kind: "challenge"; readonly frame: Uint8Array }
  | { readonly kind: "hint" }
  | undefined

/** `id`: 0 to 2^32 - 1, the client's own choice; the reply brings it back. */
export function encodeSocketRequest(name: RequestName, id: number, frame: Uint8Array): Uint8Array {
  return withHeader(REQUESTS[name], id, frame)
}

export function encodeSocketReply(id: number, frame: Uint8Array): Uint8Array {
  return withHeader(REPLY, id, frame)
}

/** "Ask again", from the coordinator by itself. */
export const SOCKET_HINT: Uint8Array = Uint8Array.of(HINT)

/** The coordinator's first message on every socket. */
export function encodeSocketChallenge(frame: Uint8Array): Uint8Array {
  const message = new Uint8Array(1 + frame.byteLength)
  message[0] = CHALLENGE
  message.set(frame, 1)
  return message
}

/** Throws FRAME_MALFORMED for what is shorter than its header. The frame is a view. */
export function decodeSocketRequest(message: Uint8Array): SocketRequest {
  return { name: NAMES.get(message[0] ?? 0), ...withoutHeader(message) }
}

/** Throws FRAME_MALFORMED for a reply that is shorter than its header. The frame is a view. */
export function decodeSocketAnswer(message: Uint8Array): SocketAnswer {
  const [kind] = message
  if (kind === REPLY) return { kind: "reply", ...withoutHeader(message) }
  if (kind === HINT) return { kind: "hint" }
  return kind === CHALLENGE ? { kind: "challenge", frame: message.subarray(1) } : undefined
}

function withHeader(kind: number, id: number, frame: Uint8Array): Uint8Array {
  const message = new Uint8Array(HEADER_BYTES + frame.byteLength)
  message[0] = kind
  for (let i = 0; i < 4; i++) message[1 + i] = id >>> (8 * i) // a byte takes it modulo 256
  message.set(frame, HEADER_BYTES)
  return message
}

function withoutHeader(message: Uint8Array): { id: number; frame: Uint8Array } {
  if (message.byteLength < HEADER_BYTES)
    throw new LaminaError(
      "FRAME_MALFORMED",
      `socket message: expected at least ${HEADER_BYTES} bytes, got ${message.byteLength}`,
    )
  let id = 0
  for (let i = 4; i > 0; i--) id = id * 256 + (message[i] ?? 0)
  return { id, frame: message.subarray(HEADER_BYTES) }
}
