import { lamina } from "../gen/lamina.js"
import { LaminaError } from "./errors.js"
import { LIMITS } from "./limits.js"
import { scanWire } from "./wire-scan.js"
import type { WireShape } from "./wire-scan.js"

/** One field of a message: how its value is checked and, for sub-messages, walked before anything is decoded. */
export interface Field<T> {
  read(value: unknown, where: string): T
  readonly nested?: WireShape
  /** How often the field may be on the wire; once unless it is a list. */
  readonly countMax?: number
  readonly numberMax?: number
}

/**
 * Bytes <-> a message. Both directions check every field; decode throws nothing but FRAME_TOO_LARGE and
 * FRAME_MALFORMED.
 */
interface Codec<T> {
  encode(value: T): Uint8Array
  /** `bytesMax`: LIMITS.frameBytesMax unless the message travels over HTTP. Decoded bytes are copies. */
  decode(bytes: Uint8Array, options?: { bytesMax?: number }): T
}

export interface MessageCodec<T> extends Codec<T>, Field<T> {
  readonly nested: WireShape
  /** Names of the fields, in the order of their numbers. */
  readonly keys: readonly string[]
}

type Values<F> = {
  readonly [K in keyof F as F[K] extends Field<infer T> ? (undefined extends T ? never : K) : never]: Of<F[K]>
} & {
  readonly [K in keyof F as F[K] extends Field<infer T> ? (undefined extends T ? K : never) : never]?: Of<F[K]>
}
type Of<F> = F extends Field<infer T> ? T : never

/**
 * A codec for message `name` of proto/lamina.proto. `fields` are in the order of their field numbers, 1, 2, 3 and so on
 * (a test compares with the .proto file). `check` says what is wrong where fields must fit together.
 */
export function message<F extends Record<string, Field<unknown>>>(
  name: string,
  fields: F,
  check: (value: Values<F>) => string | undefined = () => undefined,
): MessageCodec<Values<F>> {
  const type = lamina.v1[name]
  if (!type) throw new Error(`no message ${name} in gen/lamina.js`)
  const entries = Object.entries(fields)
  const shape = shapeOf(Object.values(fields))
  const read = (value: unknown, where: string): Values<F> => {
    if (typeof value !== "object" || value === null) throw malformed(where, "a message", value)
    const record = value as Record<string, unknown>
    const read: Record<string, unknown> = {}
    for (const [key, field] of entries) {
      const item = field.read(record[key], `${where}.${key}`)
      if (item !== undefined) read[key] = item
    }
    const wrong = check(read as Values<F>)
    if (wrong !== undefined) throw new LaminaError("FRAME_MALFORMED", `${where}: ${wrong}`)
    return read as Values<F>
  }
  return {
    nested: shape,
    keys: Object.keys(fields),
    read,
    // finish() gives a view of Node's buffer pool; a copy holds this message alone, also after a transfer to a worker
    encode: (value) => new Uint8Array(type.encode(read(value, name)).finish()),
    decode: (bytes, { bytesMax = LIMITS.frameBytesMax } = {}) => {
      if (bytes.byteLength > bytesMax)
        throw new LaminaError("FRAME_TOO_LARGE", `${name}: expected at most ${bytesMax} bytes, got ${bytes.byteLength}`)
      scanWire(bytes, shape, name)
      return read(decoded(type, bytes, name), name)
    },
  }
}

function shapeOf(fields: readonly Field<unknown>[]): WireShape {
  const numbered = fields.map(
    ({ countMax = 1, numberMax, nested }, i) => [i + 1, { countMax, numberMax, nested }] as const,
  )
  return { fields: new Map(numbered) }
}

function decoded(type: { decode(bytes: Uint8Array): object }, bytes: Uint8Array, name: string): object {
  try {
    return type.decode(bytes)
  } catch (cause) {
    throw new LaminaError("FRAME_MALFORMED", `${name}: does not parse as protobuf`, { cause })
  }
}

/** FRAME_MALFORMED that names the field, what was expected and the kind of thing that came (never a payload). */
export function malformed(where: string, expected: string, got: unknown): LaminaError {
  const shown =
    got instanceof Uint8Array
      ? `${got.byteLength} bytes`
      : typeof got === "string"
        ? `text of ${got.length} characters`
        : typeof got === "number"
          ? String(got)
          : typeof got
  return new LaminaError("FRAME_MALFORMED", `${where}: expected ${expected}, got ${shown}`)
}
