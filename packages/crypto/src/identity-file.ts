import { closeSync, fstatSync, openSync, readFileSync, statSync } from "node:fs"

import { LaminaError } from "@lamina/protocol/errors"

import { writeDurablyOnce } from "./durable-file.js"
import { fromHex, toHex, utf8 } from "./hash.js"
import { SEED_BYTES, generateIdentity, identityFromSeed } from "./identity.js"
import type { Identity } from "./identity.js"

/** First line of the file; the second is the seed as 64 hexadecimal digits. */
const FILE_HEADER = "lamina identity 1"
const FILE_BYTES_MAX = 200
const OTHERS = 0o077
const CLIENT_HINT = "restore it, or move it away to have a new identity made; the coordinator will see a new client"

/**
 * Reads an identity file, or makes one (mode 0600, durable before it is used; of processes that start together one
 * makes it and all get that one). `hint` says what to do about a damaged one. FILE_UNREADABLE: not readable, not an
 * identity, or open to other users; FILE_UNWRITABLE.
 */
export async function loadOrCreateIdentity(path: string, hint = CLIENT_HINT): Promise<Identity> {
  return load(path, hint) ?? (await create(path, hint))
}

function load(path: string, hint: string): Identity | undefined {
  try {
    if (!statSync(path, { throwIfNoEntry: false })) return undefined // at a quarter of what a failure to open costs
    const file = openSync(path, "r")
    try {
      const { mode, size } = fstatSync(file)
      // Windows has no such bits: every file reads as open to all
      if (process.platform !== "win32" && (mode & OTHERS) !== 0)
        throw unreadable(path, `mode 600, got ${(mode & 0o777).toString(8)}`, `chmod 600 ${path}`)
      if (size > FILE_BYTES_MAX) throw malformed(path, `${size} bytes`, hint)
      return parse(readFileSync(file, "utf8"), path, hint)
    } finally {
      closeSync(file)
    }
  } catch (cause) {
    if (cause instanceof LaminaError) throw cause
    const { code, message } = cause as NodeJS.ErrnoException
    if (code === "ENOENT") return undefined
    throw new LaminaError("FILE_UNREADABLE", `identity ${path}: ${code ?? message}`, { cause })
  }
}

function parse(text: string, path: string, hint: string): Identity {
  const [header, seedHex, ...rest] = text.split("\n")
  const seed = fromHex(seedHex ?? "")
  if (header !== FILE_HEADER) throw malformed(path, "another first line", hint)
  if (seed?.byteLength !== SEED_BYTES || rest.join("") !== "") throw malformed(path, "another second line", hint)
  return identityFromSeed(seed)
}

function malformed(path: string, got: string, hint: string): LaminaError {
  return unreadable(path, `"${FILE_HEADER}" and a line of 64 hexadecimal digits, got ${got}`, hint)
}

function unreadable(path: string, expected: string, hint: string): LaminaError {
  return new LaminaError("FILE_UNREADABLE", `identity ${path}: expected ${expected}`, { hint })
}

async function create(path: string, hint: string): Promise<Identity> {
  const made = generateIdentity()
  try {
    return (await writeDurablyOnce(path, utf8(`${FILE_HEADER}\n${toHex(made.secretKey)}\n`)))
      ? made
      : winner(path, hint)
  } catch (cause) {
    if (cause instanceof LaminaError) throw cause
    const { code, message } = cause as NodeJS.ErrnoException
    throw new LaminaError("FILE_UNWRITABLE", `identity ${path}: ${code ?? message}`, { cause })
  }
}

function winner(path: string, hint: string): Identity {
  const identity = load(path, hint)
  if (!identity)
    throw new LaminaError("FILE_UNWRITABLE", `identity ${path}: another process made it and removed it again`)
  return identity
}
