import { lamina } from "../gen/lamina.js"
import { AlikeLists } from "./alike.js"
import { LaminaError } from "./errors.js"
import { LIMITS } from "./limits.js"
import { scanWire } from "./wire-scan.js"
import type { WireShape } from "./wire-scan.js"

/** One field of a message: how its value is checked and, for sub-messages, walked before anything is decoded. */
export interface Field<T> {
  /** Throws a Misfit. */
  read(value: unknown): T
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

interface MessageRules<F> {
  /** What is wrong where fields must fit together. */
  readonly check?: (value: Values<F>) => string | undefined
  /** A long list that comes alike in many messages: decoded ones share it, frozen. */
  readonly alike?: string & keyof F
}

/**
 * A codec for message `name` of proto/lamina.proto. `fields` are in the order of their field numbers, 1, 2, 3 and so on
 * (a test compares with the .proto file).
 */
export function message<F extends Record<string, Field<unknown>>>(
  name: string,
  fields: F,
  { check = () => undefined, alike }: MessageRules<F> = {},
): MessageCodec<Values<F>> {
  const type = lamina.v1[name]
  if (!type) throw new Error(`no message ${name} in gen/lamina.js`)
  const entries = Object.entries(fields)
  const shape = shapeOf(Object.values(fields))
  const lists = alike === undefined ? undefined : new AlikeLists(name, 1 + Object.keys(fields).indexOf(alike))
  const read = (value: unknown, list?: readonly unknown[]): Values<F> => {
    if (typeof value !== "object" || value === null) throw misfit("a message", value)
    const record = value as Record<string, unknown>
    const read: Record<string, unknown> = {}
    let at = ""
    try {
      for (const [key, field] of entries) {
        at = key
        const item = list && key === alike ? list : field.read(record[key])
        if (item !== undefined) read[key] = item
      }
    } catch (error) {
      throw error instanceof Misfit ? error.within(`.${at}`) : error
    }
    const wrong = check(read as Values<F>)
    if (wrong !== undefined) throw new Misfit(wrong)
    return read as Values<F>
  }
  const checked = (value: unknown, list?: readonly unknown[]): Values<F> => {
    try {
      return read(value, list)
    } catch (error) {
      throw error instanceof Misfit ? error.in(name) : error
    }
  }
  return {
    nested: shape,
    keys: Object.keys(fields),
    read,
    // finish() gives a view of Node's buffer pool; a copy holds this message alone, also after a transfer to a worker
    encode: (value) => new Uint8Array(type.encode(checked(value)).finish()),
    decode: (bytes, { bytesMax = LIMITS.frameBytesMax } = {}) => {
      if (bytes.byteLength > bytesMax)
        throw new LaminaError("FRAME_TOO_LARGE", `${name}: expected at most ${bytesMax} bytes, got ${bytes.byteLength}`)
      const { unread, run, list } = lists?.look(bytes) ?? { unread: bytes }
      scanWire(unread, shape, name)
      const value = checked(decoded(type, unread, name), list)
      if (run && !list) lists?.keep(run, value[alike as keyof Values<F>] as readonly unknown[])
      return value
    },
  }
}

function shapeOf(fields: readonly Field<unknown>[]): WireShape {
  return {
    fields: [undefined, ...fields.map(({ countMax = 1, numberMax, nested }) => ({ countMax, numberMax, nested }))],
  }
}

function decoded(type: { decode(bytes: Uint8Array): object }, bytes: Uint8Array, name: string): object {
  try {
    return type.decode(bytes)
  } catch (cause) {
    throw new LaminaError("FRAME_MALFORMED", `${name}: does not parse as protobuf`, { cause })
  }
}

/**
 * A value that is not what its field takes. Where in the message is put in front on the way up: only what fails needs
 * to know it.
 */
export class Misfit extends Error {
  #where = ""

  /** This misfit of a field or an entry, as one of the message around it. */
  within(step: string): this {
    this.#where = step + this.#where
    return this
  }

  /** In the message `name`. */
  in(name: string): LaminaError {
    return new LaminaError("FRAME_MALFORMED", `${name}${this.#where}: ${this.message}`)
  }
}

/** Says what was expected and the kind of thing that came (never a payload). */
export function misfit(expected: string, got: unknown): Misfit {
  const shown =
    got instanceof Uint8Array
      ? `${got.byteLength} bytes`
      : typeof got === "string"
        ? `text of ${got.length} characters`
        : typeof got === "number"
          ? String(got)
          : typeof got
  return new Misfit(`expected ${expected}, got ${shown}`)
}
