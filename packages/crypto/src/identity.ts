import { mkdir, open, readFile, rename, rm } from "node:fs/promises"
import { createPrivateKey, createPublicKey, randomBytes, sign as nodeSign, verify as nodeVerify } from "node:crypto"
import type { KeyObject } from "node:crypto"
import { dirname } from "node:path"

import { LaminaError } from "@lamina/protocol/errors"

import { concat, fromHex, hash, toHex, utf8 } from "./hash.js"

/** An Ed25519 key pair and the id it gives: H("id" ‖ public key), first 16 bytes. */
export interface Identity {
  readonly publicKey: Uint8Array
  /** 32-byte seed of the secret key. */
  readonly secretKey: Uint8Array
  readonly clientId: Uint8Array
}

export function generateIdentity(): Identity {
  return identityFromSeed(randomBytes(32))
}

/** The identity of a 32-byte seed. */
export function identityFromSeed(seed: Uint8Array): Identity {
  if (seed.byteLength !== 32) throw new RangeError(`expected a seed of 32 bytes, got ${seed.byteLength}`)
  const publicKey = rawPublicKey(privateKey(seed))
  return { publicKey, secretKey: Uint8Array.from(seed), clientId: clientIdOf(publicKey) }
}

export function clientIdOf(publicKey: Uint8Array): Uint8Array {
  return hash(utf8("id"), publicKey).slice(0, 16)
}

/** Signs label ‖ 0x00 ‖ parts; every signature of the protocol names what it is for. 64 bytes. */
export function sign(signer: Identity, label: string, ...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(nodeSign(null, bound(label, parts), privateKey(signer.secretKey)))
}

/** False for a wrong signature and for bytes that are no key or no signature at all. */
export function verify(
  publicKey: Uint8Array,
  signature: Uint8Array,
  label: string,
  ...parts: readonly Uint8Array[]
): boolean {
  if (publicKey.byteLength !== 32 || signature.byteLength !== 64) return false
  try {
    return nodeVerify(null, bound(label, parts), importPublicKey(publicKey), signature)
  } catch {
    return false // 32 bytes that are not a point of the curve: a wrong key, not a failure of ours
  }
}

function bound(label: string, parts: readonly Uint8Array[]): Uint8Array {
  return concat(utf8(label), Uint8Array.of(0), ...parts)
}

// DER prefixes of RFC 8410 for a raw Ed25519 seed (PKCS #8) and a raw public key (SPKI).
const PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex")
const SPKI = Buffer.from("302a300506032b6570032100", "hex")

function privateKey(seed: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: "der", type: "pkcs8" })
}

function importPublicKey(raw: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.concat([SPKI, raw]), format: "der", type: "spki" })
}

function rawPublicKey(key: KeyObject): Uint8Array {
  return new Uint8Array(createPublicKey(key).export({ format: "der", type: "spki" }).subarray(SPKI.byteLength))
}

const FILE_HEADER = "lamina identity 1"

/** Reads an identity file, or makes one (mode 0600, durable before it is used). FILE_UNREADABLE, FILE_UNWRITABLE. */
export async function loadOrCreateIdentity(path: string): Promise<Identity> {
  const text = await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT") return undefined
    throw new LaminaError("FILE_UNREADABLE", `cannot read the identity ${path}: ${cause.code ?? cause.message}`, {
      cause,
    })
  })
  if (text === undefined) return createIdentity(path)
  const [header, seedHex, ...rest] = text.split("\n")
  const seed = fromHex(seedHex ?? "")
  if (header !== FILE_HEADER || seed?.byteLength !== 32 || rest.join("") !== "")
    throw new LaminaError("FILE_UNREADABLE", `${path} is not a Lamina identity file`, {
      hint: "move it away to have a new identity made; the coordinator will see a new client",
    })
  return identityFromSeed(seed)
}

async function createIdentity(path: string): Promise<Identity> {
  const identity = generateIdentity()
  const part = `${path}.${process.pid}.part`
  try {
    await mkdir(dirname(path), { recursive: true })
    const file = await open(part, "wx", 0o600)
    try {
      await file.writeFile(`${FILE_HEADER}\n${toHex(identity.secretKey)}\n`)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(part, path)
    await syncFolder(dirname(path))
  } catch (cause) {
    await rm(part, { force: true })
    throw new LaminaError("FILE_UNWRITABLE", `cannot write the identity ${path}`, { cause })
  }
  return identity
}

/** Makes a rename inside `folder` durable. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r")
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
