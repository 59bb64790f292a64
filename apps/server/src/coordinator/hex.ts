import { fromHex } from "@lamina/crypto"

/** Bytes of a hash or id that this coordinator wrote itself. */
export function bytesOf(hex: string): Uint8Array {
  const bytes = fromHex(hex)
  if (!bytes) throw new TypeError("hexadecimal digits of our own that are none")
  return bytes
}
