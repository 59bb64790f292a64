import { LaminaError } from "@lamina/protocol/errors"

/** Thrown where the bytes at hand end before the file does: read more and start again. */
export class ShortHeader extends Error {}

/** What a cursor walks over: the first bytes of a file, its name for messages, and how long it is in all. */
export interface GgufBytes {
  readonly bytes: Uint8Array
  readonly path: string
  readonly size: number
}

/**
 * Reads little-endian numbers and strings one after another. `field` is where it stands, for messages. Every read is
 * checked against the end first: ShortHeader if the file goes on, WEIGHTS_MALFORMED naming the field if it does not.
 */
export class GgufCursor {
  readonly path: string
  readonly size: number
  field = "header"
  position = 0
  private readonly bytes: Uint8Array
  private readonly view: DataView
  private readonly text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

  constructor({ bytes, path, size }: GgufBytes) {
    this.bytes = bytes
    this.path = path
    this.size = size
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** Position of the next `length` bytes, which are there; the cursor moves behind them. */
  take(length: number): number {
    const start = this.position
    if (length > this.size - start)
      throw this.malformed(`expected ${length} bytes at byte ${start}, got the end of the file at ${this.size}`)
    if (length > this.bytes.length - start) throw new ShortHeader()
    this.position = start + length
    return start
  }

  u8(): number {
    return this.view.getUint8(this.take(1))
  }

  i8(): number {
    return this.view.getInt8(this.take(1))
  }

  u16(): number {
    return this.view.getUint16(this.take(2), true)
  }

  i16(): number {
    return this.view.getInt16(this.take(2), true)
  }

  u32(): number {
    return this.view.getUint32(this.take(4), true)
  }

  i32(): number {
    return this.view.getInt32(this.take(4), true)
  }

  f32(): number {
    return this.view.getFloat32(this.take(4), true)
  }

  f64(): number {
    return this.view.getFloat64(this.take(8), true)
  }

  /** A number where it is exact, else a bigint. */
  u64(): number | bigint {
    return narrow(this.view.getBigUint64(this.take(8), true))
  }

  i64(): number | bigint {
    return narrow(this.view.getBigInt64(this.take(8), true))
  }

  /** A count or a length, at most `most`. */
  count(what: string, most: number): number {
    const value = this.u64()
    if (typeof value !== "number" || value > most)
      throw this.malformed(`${what}: expected at most ${most}, got ${value}`)
    return value
  }

  /** UTF-8 text of at most `most` bytes, a byte order mark kept. */
  string(most: number): string {
    const length = this.count("length of a string", most)
    const start = this.take(length)
    const bytes = this.bytes.subarray(start, start + length)
    try {
      return this.text.decode(bytes)
    } catch (cause) {
      throw this.malformed(`expected UTF-8 text at byte ${start}, got other bytes`, cause)
    }
  }

  malformed(message: string, cause?: unknown): LaminaError {
    return new LaminaError("WEIGHTS_MALFORMED", `${this.path}: ${this.field}: ${message}`, { cause })
  }
}

function narrow(value: bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}
