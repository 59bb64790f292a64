export { HASH_BYTES, Hasher, concat, equalBytes, fromHex, hash, hashFile, kdf, toHex, utf8 } from "./hash.js"
export {
  clientIdOf,
  generateIdentity,
  identityFromSeed,
  loadOrCreateIdentity,
  sign,
  syncFolder,
  verify,
} from "./identity.js"
export type { Identity } from "./identity.js"
export { leafHash, leavesOf, rootOf } from "./merkle.js"
export { checkOpen, headerOf, openEnvelope } from "./open.js"
export type { Expected } from "./open.js"
export { RECIPIENT_KEY_BYTES, generateRecipientKey } from "./recipient.js"
export type { RecipientKey } from "./recipient.js"
export { sealToBytes } from "./seal.js"
export type { SealInput, SealSecrets, SealedParts } from "./seal.js"
export { readSealed, sealEnvelope } from "./spool.js"
export type { SealedEnvelope } from "./spool.js"
