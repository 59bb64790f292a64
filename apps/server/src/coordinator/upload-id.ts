import { hash, toHex, utf8 } from "@lamina/crypto"

import { bytesOf } from "./hex.js"

/**
 * The same client opening the same envelope gets the same upload, whatever happened in between: hex of H("upload" ‖
 * client ‖ root)[0:16].
 */
export function uploadIdOf(clientId: string, envelopeRoot: string): string {
  return toHex(hash(utf8("upload"), bytesOf(clientId), bytesOf(envelopeRoot)).subarray(0, 16))
}
