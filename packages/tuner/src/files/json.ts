import { LaminaError } from "@lamina/protocol/errors"
import type { ErrorCode } from "@lamina/protocol/errors"

/** A JSON object of a stranger: members may be anything. */
export type JsonObject = Readonly<Record<string, unknown>>

/** The object that JSON `text` is; `code` when it is something else. `where` names the place in messages. */
export function parseJsonObject(text: string, where: string, code: ErrorCode): JsonObject {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new LaminaError(code, `${where}: expected JSON, ${(cause as Error).message.slice(0, 120)}`, { cause })
  }
  if (!isJsonObject(value)) throw new LaminaError(code, `${where}: expected a JSON object, got ${showJson(value)}`)
  return value
}

/** True for objects that are not arrays. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}

/** A stranger's value in a message: short, and safe for values nested deeper than the stack. */
export function showJson(value: unknown): string {
  if (value === undefined) return "nothing"
  if (Array.isArray(value)) {
    const items = value.slice(0, 6).map((item: unknown) => (Array.isArray(item) ? "[…]" : showJson(item)))
    return `[${items.join(", ")}${value.length > 6 ? ", …" : ""}]`
  }
  if (typeof value === "object" && value !== null) return "an object"
  const text = JSON.stringify(value)
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}
