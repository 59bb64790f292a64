import { crc32c } from "./crc32c.js"
import { encodeEvents, eventFileName } from "./tensorboard.js"

test("CRC-32C gives the known answers of RFC 3720, appendix B.4", () => {
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa)
  expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43)
  expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e)
  expect(crc32c(Buffer.from("123456789"))).toBe(0xe3069283)
})

/** A reader of its own: records by their lengths, fields by their wire types; the CRCs bit by bit. */
function readRecords(file: Uint8Array): Uint8Array[] {
  const bytes = Buffer.from(file)
  const records: Uint8Array[] = []
  for (let at = 0; at < bytes.length;) {
    const length = Number(bytes.readBigUInt64LE(at))
    const data = bytes.subarray(at + 12, at + 12 + length)
    expect(unmask(bytes.readUInt32LE(at + 8))).toBe(slowCrc(bytes.subarray(at, at + 8)))
    expect(unmask(bytes.readUInt32LE(at + 12 + length))).toBe(slowCrc(data))
    records.push(data)
    at += 16 + length
  }
  return records
}

function unmask(crc: number): number {
  const rotated = (crc - 0xa282ead8) >>> 0
  return ((rotated >>> 17) | (rotated << 15)) >>> 0
}

function slowCrc(bytes: Uint8Array): number {
  let crc = 0xffffffffn
  for (const byte of bytes) {
    crc ^= BigInt(byte)
    for (let bit = 0; bit < 8; bit++) crc = crc & 1n ? (crc >> 1n) ^ 0x82f63b78n : crc >> 1n
  }
  return Number(crc ^ 0xffffffffn)
}

function readFields(data: Uint8Array): Map<number, number | Uint8Array> {
  const bytes = Buffer.from(data)
  const fields = new Map<number, number | Uint8Array>()
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let digit = 0; ; digit++) {
      const byte = bytes.readUInt8(at++)
      value += (byte & 127) * 128 ** digit
      if (byte < 128) return value
    }
  }
  while (at < bytes.length) {
    const key = varint()
    const [field, wireType] = [key >>> 3, key & 7]
    if (wireType === 0) fields.set(field, varint())
    else if (wireType === 1) fields.set(field, bytes.readDoubleLE((at += 8) - 8))
    else if (wireType === 5) fields.set(field, bytes.readFloatLE((at += 4) - 4))
    else {
      const length = varint()
      fields.set(field, bytes.subarray(at, (at += length)))
    }
  }
  return fields
}

test("an event file reads back: the version first, then every scalar as it was", () => {
  const tag = `held-out/${"long ".repeat(40)}loss`
  const events = [
    { tag: "held-out/loss", step: 0, wallTimeSeconds: 0, value: 4.5 },
    { tag, step: 300, wallTimeSeconds: 1234.5, value: -0.25 },
    { tag: "bytes/up", step: 2 ** 40, wallTimeSeconds: 1e9, value: 2 ** 30 },
  ]
  const [first, ...rest] = readRecords(encodeEvents(events)).map(readFields)
  expect(String(first?.get(3))).toBe("brain.Event:2")
  const read = rest.map((fields) => {
    const value = readFields(readFields(fields.get(5) as Uint8Array).get(1) as Uint8Array)
    return { tag: String(value.get(1)), step: fields.get(2), wallTimeSeconds: fields.get(1), value: value.get(2) }
  })
  expect(read).toEqual(events) // all values are exact in f32
})

test("the file's name sorts by its time", () => {
  expect(eventFileName({ seconds: 7.9, host: "lamina" })).toBe("events.out.tfevents.0000000007.lamina")
})
