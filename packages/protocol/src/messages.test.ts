import { LIMITS } from "./limits.js"
import { messages } from "./messages.js"

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
const filled = (length: number, byte: number): Uint8Array => new Uint8Array(length).fill(byte)
/** Hexadecimal with spaces between fields. */
const frame = (...fields: string[]): string => fields.join("").replaceAll(" ", "")

test("the bytes of a Wait are these", () => {
  const expected = frame(
    "08 9875", // field 1, varint: 15000 = 117 * 128 + 24, low seven bits first
    "12 02 6f6b", // field 2, two bytes: "ok"
  )
  expect(hex(messages.Wait.encode({ retryAfterMs: 15_000, reason: "ok" }))).toBe(expected)
})

test("the bytes of a Session are these, with a time that 32 bits do not hold", () => {
  const expected = frame(
    `0a 10 ${"07".repeat(16)}`, // field 1, 16 bytes: client id
    "12 03 746f6b", // field 2: "tok"
    "18 8080808010", // field 3, varint: 2^32 = 16 * 128^4
  )
  expect(hex(messages.Session.encode({ clientId: filled(16, 7), token: "tok", serverTimeMs: 2 ** 32 }))).toBe(expected)
})

test("the bytes of a Metric are these: a double is its eight bytes, little-endian", () => {
  // field 1: "loss"; field 2, 64 bits: 1.5 = 0x3ff8000000000000
  expect(hex(messages.Metric.encode({ name: "loss", value: 1.5 }))).toBe(frame("0a 04 6c6f7373", "11 000000000000f83f"))
})

test("the bytes of a ReceiptBody are these; a code of 0 is not on the wire", () => {
  const receipt = {
    status: "LATE",
    code: 0,
    sequence: 300,
    roundHeaderHash: filled(32, 1),
    envelopeRoot: filled(32, 2),
    clientId: filled(16, 3),
  } as const
  const expected = frame(
    "0a 04 4c415445", // field 1: "LATE"
    "18 ac02", // field 3, varint: 300 = 2 * 128 + 44
    `22 20 ${"01".repeat(32)}`, // field 4: RH
    `2a 20 ${"02".repeat(32)}`, // field 5: root
    `32 10 ${"03".repeat(16)}`, // field 6: client id
  )
  expect(hex(messages.ReceiptBody.encode(receipt))).toBe(expected)
  expect(messages.ReceiptBody.decode(Buffer.from(expected, "hex"))).toEqual(receipt)
})

test("the bytes of an answer and of a refusal are these; an empty answer is still an answer", () => {
  const failure = { code: 2004, message: "x", retryAfterMs: 0 }
  // field 1: nothing
  expect(hex(messages.Reply.encode({ ok: messages.Ack.encode({}) }))).toBe("0a00")
  // field 2, six bytes: field 1 = 2004 = 15 * 128 + 84, field 2 = "x"
  expect(hex(messages.Reply.encode({ failure }))).toBe(frame("12 06", "08 d40f", "12 01 78"))
  expect(messages.Reply.decode(Buffer.from("0a00", "hex"))).toEqual({ ok: new Uint8Array(0) })
})

test("no alternative is refused; of several on the wire the last counts, and several do not encode", () => {
  const refused = (message: string): Error => expect.objectContaining({ code: "FRAME_MALFORMED", message }) as Error
  const failure = { code: 0, message: "", retryAfterMs: 0 }
  expect(() => messages.Reply.decode(new Uint8Array(0))).toThrow(
    refused("Reply: expected exactly one alternative, got 0"),
  )
  expect(() => messages.Reply.encode({ ok: new Uint8Array(0), failure })).toThrow(
    refused("Reply: expected exactly one alternative, got 2"),
  )
  expect(messages.Reply.decode(Buffer.from("0a001200", "hex"))).toEqual({ failure })
})

test("fields of a newer peer are skipped", () => {
  // field 1 = 1, field 15 (unknown, varint) = 1, field 16 (unknown, one byte)
  const newer = Buffer.from(frame("08 01", "78 01", "8201 01 ff"), "hex")
  expect(messages.Wait.decode(newer)).toEqual({ retryAfterMs: 1, reason: "" })
})

test("a frame at the limit is looked at, one byte over is refused by its size alone", () => {
  // field 2 (reason) as one long text: tag, length as a 3-byte varint, then the text
  const padding = (bytes: number): Uint8Array => {
    const length = bytes - 4
    const start = [0x12, (length & 0x7f) | 0x80, ((length >> 7) & 0x7f) | 0x80, length >> 14]
    return Uint8Array.from({ length: bytes }, (_, i) => start[i] ?? 0x61)
  }
  const refused = (message: RegExp): Error =>
    expect.objectContaining({ message: expect.stringMatching(message) }) as Error
  expect(() => messages.Wait.decode(padding(LIMITS.frameBytesMax))).toThrow(refused(/^Wait\.reason: expected text/))
  expect(() => messages.Wait.decode(padding(LIMITS.frameBytesMax + 1))).toThrow(
    refused(/^Wait: expected at most 393216 bytes/),
  )
  expect(() => messages.Wait.decode(padding(LIMITS.frameBytesMax + 1))).toThrow(
    expect.objectContaining({ code: "FRAME_TOO_LARGE" }) as Error,
  )
})

test("decoded bytes do not alias the frame, and encoded ones share memory with nothing", () => {
  const encoded = messages.UploadTicket.encode({ uploadId: "u", have: Uint8Array.of(7), window: 1 })
  const { have } = messages.UploadTicket.decode(encoded)
  encoded.fill(0)
  expect([...have]).toEqual([7])
  expect([encoded.buffer.byteLength, have.buffer.byteLength]).toEqual([encoded.byteLength, 1])
})
