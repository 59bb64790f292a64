import { crc32c } from "./crc32c.js"

/** A number of a run at a point of it. */
export interface ScalarEvent {
  readonly tag: string
  /** The round. */
  readonly step: number
  /** Unix time in seconds; of a simulation: virtual seconds since it began. */
  readonly wallTimeSeconds: number
  readonly value: number
}

/**
 * The bytes of a TensorBoard event file: TFRecords, each a length, its masked CRC-32C, an `Event`, its masked CRC-32C
 * (tensorflow/core/lib/io/record_writer.h). The first event is the file version, then one for each scalar in the order
 * given.
 */
export function encodeEvents(events: readonly ScalarEvent[]): Uint8Array {
  const version = { wallTimeSeconds: events[0]?.wallTimeSeconds ?? 0 }
  return Buffer.concat([versionEvent(version), ...events.map(scalarEvent)].map(record))
}

/** Name of an event file: readers look for `tfevents` in it and sort by the seconds behind. */
export function eventFileName(start: { seconds: number; host: string }): string {
  return `events.out.tfevents.${String(Math.floor(start.seconds)).padStart(10, "0")}.${start.host}`
}

function record(data: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(16 + data.length)
  bytes.writeBigUInt64LE(BigInt(data.length), 0)
  bytes.writeUInt32LE(masked(bytes.subarray(0, 8)), 8)
  bytes.set(data, 12)
  bytes.writeUInt32LE(masked(data), 12 + data.length)
  return bytes
}

/** The mask of record_writer.h: a CRC of bytes that hold CRCs would be weak. */
function masked(bytes: Uint8Array): number {
  const crc = crc32c(bytes)
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
}

/** Event { wall_time = 1: double; file_version = 3: string } (tensorflow/core/util/event.proto). */
function versionEvent({ wallTimeSeconds }: { wallTimeSeconds: number }): Uint8Array {
  return Buffer.concat([doubleField(1, wallTimeSeconds), bytesField(3, Buffer.from("brain.Event:2"))])
}

/**
 * Event { wall_time = 1: double; step = 2: int64; summary = 5: Summary { value = 1: Value { tag = 1: string;
 * simple_value = 2: float } } } (event.proto, summary.proto).
 */
function scalarEvent({ tag, step, wallTimeSeconds, value }: ScalarEvent): Uint8Array {
  const entry = Buffer.concat([bytesField(1, Buffer.from(tag)), floatField(2, value)])
  const summary = bytesField(1, entry)
  return Buffer.concat([doubleField(1, wallTimeSeconds), varintField(2, step), bytesField(5, summary)])
}

/** Wire types of Protocol Buffers: 0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes. */
function key(field: number, wireType: 0 | 1 | 2 | 5): Uint8Array {
  return Uint8Array.of((field << 3) | wireType) // fields up to 15 only
}

function doubleField(field: number, value: number): Uint8Array {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleLE(value)
  return Buffer.concat([key(field, 1), bytes])
}

function floatField(field: number, value: number): Uint8Array {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(value)
  return Buffer.concat([key(field, 5), bytes])
}

function varintField(field: number, value: number): Uint8Array {
  return Buffer.concat([key(field, 0), varint(value)])
}

function bytesField(field: number, bytes: Uint8Array): Uint8Array {
  return Buffer.concat([key(field, 2), varint(bytes.length), bytes])
}

/** Base 128, lowest digits first; whole numbers from 0 to 2^53. */
function varint(value: number): Uint8Array {
  const digits: number[] = []
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Uint8Array.from([...digits, rest])
    digits.push((rest % 128) | 128)
  }
}
