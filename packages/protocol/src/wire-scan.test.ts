import { LIMITS } from "./limits.js"
import { scanWire } from "./wire-scan.js"
import type { WireField, WireShape } from "./wire-scan.js"

const single: WireField = { countMax: 1, numberMax: 0xffff_ffff }
/** Field 1: one number; field 2: up to three entries; field 3: a message of the same kind. */
const shape: { fields: (WireField | undefined)[] } = { fields: [undefined, single, { countMax: 3 }] }
shape.fields[3] = { countMax: 1, nested: shape }

const scan = (bytes: readonly number[], as: WireShape = shape): void => scanWire(Uint8Array.from(bytes), as, "Frame")
const malformed = (message: RegExp): Error =>
  expect.objectContaining({ code: "FRAME_MALFORMED", message: expect.stringMatching(message) })

test("every wire type of a well-formed frame is walked to its end", () => {
  scan([0x08, 0x96, 0x01]) // field 1, varint 150
  scan([0x21, 1, 2, 3, 4, 5, 6, 7, 8]) // field 4 (unknown), 64 bits
  scan([0x25, 1, 2, 3, 4]) // field 4, 32 bits
  scan([0x12, 2, 0xff, 0xff]) // field 2, two bytes that are not looked into
  scan([0x1a, 2, 0x08, 0x07]) // field 3, a message with field 1 = 7
})

test.each<[string, number[], RegExp]>([
  ["a tag without its value", [0x08], /a number runs past the end/],
  ["a varint that never ends", [0x08, ...new Array<number>(10).fill(0x80), 0x00], /more than 10 bytes/],
  ["a length past the end", [0x12, 5, 1, 2], /^Frame: field 2 has 5 bytes where 2 are left$/],
  ["a nested length past the end of its message", [0x1a, 3, 0x12, 9, 1], /field 2 has 9 bytes where 1 are left/],
  ["64 bits cut short", [0x21, 1, 2, 3], /field 4 has 8 bytes where 3 are left/],
  ["field number 0", [0x00, 0x00], /field number 0/],
  ["the start of a group", [0x0b], /wire type 3/],
  ["wire type 7", [0x0f], /wire type 7/],
  // 2^32 * 8 + 0 as a tag: a decoder that cuts it to 32 bits would see field 0 or, with other bits, a field it knows
  ["a tag of more than 32 bits", [0x88, 0x80, 0x80, 0x80, 0x80, 0x01, 0x00], /more than 29 bits/],
  // 2^32 + 1 would be read as 1
  [
    "a number that 32 bits do not hold",
    [0x08, 0x81, 0x80, 0x80, 0x80, 0x10],
    /field 1: expected a number of at most 4294967295/,
  ],
  ["a single field twice", [0x08, 1, 0x08, 1], /field 1 comes twice/],
])("%s is FRAME_MALFORMED", (_, bytes, message) => {
  expect(() => scan(bytes)).toThrow(malformed(message))
})

test("a list takes as many entries as its field says and not one more", () => {
  scan([0x12, 0, 0x12, 0, 0x12, 0])
  expect(() => scan([0x12, 0, 0x12, 0, 0x12, 0, 0x12, 0])).toThrow(
    expect.objectContaining({
      code: "FRAME_TOO_LARGE",
      message: "Frame: field 2: expected at most 3 entries, got more",
    }),
  )
})

test("nesting is followed to the limit and refused one deeper", () => {
  const nest = (depth: number): number[] => (depth === 0 ? [] : [0x1a, nest(depth - 1).length, ...nest(depth - 1)])
  scan(nest(LIMITS.depthMax))
  expect(() => scan(nest(LIMITS.depthMax + 1))).toThrow(malformed(/deeper than 8/))
})

test("fields are counted over the whole frame, unknown ones too: at the limit it passes, one more is refused", () => {
  // field 5 = 0, again and again
  const unknown = (count: number): Uint8Array => Uint8Array.from({ length: 2 * count }, (_, i) => (i % 2 ? 0 : 0x28))
  scanWire(unknown(LIMITS.fieldsMax), shape)
  expect(() => scanWire(unknown(LIMITS.fieldsMax + 1), shape)).toThrow(
    expect.objectContaining({ code: "FRAME_TOO_LARGE" }),
  )
})
