import { LaminaError } from "./errors.js"

/**
 * A message of the control socket around one frame (docs/protocol.md, "Transport"): a byte that says what it is, a
 * number that joins a reply to its request (uint32, little-endian), and the frame.
 */

/** First byte of a request, by its name. Never given another meaning. */
const REQUESTS = {
  "session.challenge": 1,
  "session.open": 2,
  "round.next": 3,
  "round.progress": 4,
  "upload.open": 5,
  "upload.commit": 6,
} as const
export type RequestName = keyof typeof REQUESTS

const REPLY = 0x80
const HINT = 0x81

const HEADER_BYTES = 5
const NAMES = new Map(Object.entries(REQUESTS).map(([name, kind]) => [kind as number, name as RequestName]))

/** A request as the coordinator gets it; `name` is undefined for one this build does not know. */
export interface SocketRequest {
  readonly name: RequestName | undefined
  readonly id: number
  readonly frame: Uint8Array
}

/** What a client gets; undefined: a kind of message this build does not know, to be left alone. */
export type SocketAnswer = { readonly id: number; readonly frame: Uint8Array } | "hint" | undefined

/** `id`: 0 to 2^32 - 1, the client's own choice; the reply brings it back. */
export function encodeSocketRequest(name: RequestName, id: number, frame: Uint8Array): Uint8Array {
  return withHeader(REQUESTS[name], id, frame)
}

export function encodeSocketReply(id: number, frame: Uint8Array): Uint8Array {
  return withHeader(REPLY, id, frame)
}

/** "Ask again", from the coordinator by itself. */
export const SOCKET_HINT: Uint8Array = Uint8Array.of(HINT)

/** Throws FRAME_MALFORMED for what is shorter than its header. The frame is a view. */
export function decodeSocketRequest(message: Uint8Array): SocketRequest {
  return { name: NAMES.get(message[0] ?? 0), ...withoutHeader(message) }
}

/** Throws FRAME_MALFORMED for a reply that is shorter than its header. The frame is a view. */
export function decodeSocketAnswer(message: Uint8Array): SocketAnswer {
  if (message[0] === REPLY) return withoutHeader(message)
  return message[0] === HINT ? "hint" : undefined
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
