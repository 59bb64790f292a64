import fc from "fast-check"

import {
  decodeSocketAnswer,
  decodeSocketRequest,
  encodeSocketChallenge,
  encodeSocketReply,
  encodeSocketRequest,
  SOCKET_HINT,
} from "./socket-message.js"
import type { RequestName } from "./socket-message.js"

const NAMES: readonly RequestName[] = [
  "session.open",
  "round.next",
  "round.progress",
  "upload.open",
  "upload.commit",
  "round.decline",
]
const id = fc.integer({ min: 0, max: 2 ** 32 - 1 })
const frame = fc.uint8Array({ maxLength: 50 })

test("a request and its reply come back as they went, whatever their number", () => {
  fc.assert(
    fc.property(fc.constantFrom(...NAMES), id, frame, (name, number, bytes) => {
      expect(decodeSocketRequest(encodeSocketRequest(name, number, bytes))).toEqual({ name, id: number, frame: bytes })
      const answer = decodeSocketAnswer(encodeSocketReply(number, bytes))
      expect(answer).toEqual({ kind: "reply", id: number, frame: bytes })
      expect(decodeSocketAnswer(encodeSocketChallenge(bytes))).toEqual({ kind: "challenge", frame: bytes })
    }),
  )
})

test("the bytes are those of docs/protocol.md", () => {
  const number = 0x0403_0201
  const messages = NAMES.map((name) => encodeSocketRequest(name, number, Uint8Array.of(7)))
  expect(messages.map((message) => [...message])).toEqual([1, 2, 3, 4, 5, 6].map((kind) => [kind, 1, 2, 3, 4, 7]))
  expect([...encodeSocketReply(number, Uint8Array.of(7))]).toEqual([0x80, 1, 2, 3, 4, 7])
  expect([...SOCKET_HINT]).toEqual([0x81])
  expect([...encodeSocketChallenge(Uint8Array.of(7))]).toEqual([0x82, 7])
  expect(decodeSocketAnswer(SOCKET_HINT)).toEqual({ kind: "hint" })
})

test("what is shorter than a header is FRAME_MALFORMED; another kind has no name, and is no answer", () => {
  const malformed = expect.objectContaining({ code: "FRAME_MALFORMED" }) as Error
  for (let bytes = 0; bytes < 5; bytes++) {
    expect(() => decodeSocketRequest(new Uint8Array(bytes).fill(1))).toThrow(malformed)
    if (bytes > 0) expect(() => decodeSocketAnswer(new Uint8Array(bytes).fill(0x80))).toThrow(malformed)
  }
  expect(decodeSocketRequest(new Uint8Array(5))).toMatchObject({ name: undefined })
  expect(decodeSocketRequest(Uint8Array.of(0x80, 0, 0, 0, 0))).toMatchObject({ name: undefined })
  for (const message of [new Uint8Array(0), new Uint8Array(9), Uint8Array.of(0x83, 0, 0, 0, 0)])
    expect(decodeSocketAnswer(message)).toBeUndefined()
})
