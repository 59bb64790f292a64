import { errorCodeOfWire, LaminaError, LIMITS, messages } from "@lamina/protocol"
import type {
  Decline,
  ErrorCode,
  NextTask,
  NextTaskReply,
  OpenSession,
  Progress,
  Receipt,
  RequestName,
  Session,
  UploadCommit,
  UploadOpen,
  UploadTicket,
} from "@lamina/protocol"

/** Frames of every request and its reply (docs/protocol.md, "Transport"). */
export interface Requests {
  "session.open": { request: OpenSession; answer: Session }
  "round.next": { request: NextTask; answer: NextTaskReply }
  "round.progress": { request: Progress; answer: Record<string, never> }
  "round.decline": { request: Decline; answer: Record<string, never> }
  "upload.open": { request: UploadOpen; answer: UploadTicket }
  "upload.commit": { request: UploadCommit; answer: Receipt }
}

type Codecs = {
  [K in RequestName]: {
    encode(request: Requests[K]["request"]): Uint8Array
    decode(bytes: Uint8Array): Requests[K]["answer"]
  }
}

const CODECS: Codecs = {
  "session.open": { encode: (m) => messages.OpenSession.encode(m), decode: (b) => messages.Session.decode(b) },
  "round.next": { encode: (m) => messages.NextTask.encode(m), decode: (b) => messages.NextTaskReply.decode(b) },
  "round.progress": { encode: (m) => messages.Progress.encode(m), decode: (b) => messages.Ack.decode(b) },
  "round.decline": { encode: (m) => messages.Decline.encode(m), decode: (b) => messages.Ack.decode(b) },
  "upload.open": { encode: (m) => messages.UploadOpen.encode(m), decode: (b) => messages.UploadTicket.decode(b) },
  "upload.commit": { encode: (m) => messages.UploadCommit.encode(m), decode: (b) => messages.Receipt.decode(b) },
}

/** FRAME_TOO_LARGE for a request no coordinator would take (an upload of more leaves than one frame carries). */
export function encodeRequest<K extends RequestName>(name: K, request: Requests[K]["request"]): Uint8Array {
  const frame = CODECS[name].encode(request)
  return withinLimit(frame, `${name} request`)
}

/**
 * The coordinator's own no, over the socket or HTTP, told apart from what goes wrong on this side; `retryAfterMs` is
 * its advice.
 */
export class Refusal extends LaminaError {
  readonly retryAfterMs: number

  constructor(code: ErrorCode, message: string, retryAfterMs: number) {
    super(code, message)
    this.retryAfterMs = retryAfterMs
  }
}

export type Answer<T> = { readonly ok: T } | { readonly refusal: Refusal }

/** The frame of a reply -> Answer. Throws FRAME_TOO_LARGE, FRAME_MALFORMED for anything but one valid Reply. */
export function decodeAnswer<K extends RequestName>(name: K, frame: Uint8Array): Answer<Requests[K]["answer"]> {
  const { ok, failure } = messages.Reply.decode(withinLimit(frame, `${name} reply`))
  if (ok !== undefined) return { ok: CODECS[name].decode(ok) }
  if (failure === undefined)
    throw new LaminaError("FRAME_MALFORMED", `${name}: expected ok or failure, got an empty Reply`)
  const code = errorCodeOfWire(failure.code)
  return {
    refusal: new Refusal(code, failure.message || `the coordinator answered ${code} to ${name}`, failure.retryAfterMs),
  }
}

function withinLimit(frame: Uint8Array, what: string): Uint8Array {
  if (frame.byteLength > LIMITS.frameBytesMax)
    throw new LaminaError(
      "FRAME_TOO_LARGE",
      `${what}: expected at most ${LIMITS.frameBytesMax} bytes, got ${frame.byteLength}`,
    )
  return frame
}
