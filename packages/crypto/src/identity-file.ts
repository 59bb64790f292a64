import { randomUUID } from "node:crypto"
import { link, mkdir, open, rm } from "node:fs/promises"
import { dirname } from "node:path"

import { LaminaError } from "@lamina/protocol/errors"

import { fromHex, toHex } from "./hash.js"
import { SEED_BYTES, generateIdentity, identityFromSeed } from "./identity.js"
import type { Identity } from "./identity.js"
import { syncFolder } from "./sync-folder.js"

/** First line of the file; the second is the seed as 64 hexadecimal digits. */
const FILE_HEADER = "lamina identity 1"
const FILE_BYTES_MAX = 200
const OWNER_ONLY = 0o600
const OTHERS = 0o077

/**
 * Reads an identity file, or makes one (mode 0600, durable before it is used; of processes that start together one
 * makes it and all get that one). FILE_UNREADABLE: not readable, not an identity, or open to other users;
 * FILE_UNWRITABLE.
 */
export async function loadOrCreateIdentity(path: string): Promise<Identity> {
  return (await load(path)) ?? (await create(path))
}

async function load(path: string): Promise<Identity | undefined> {
  try {
    const file = await open(path, "r")
    try {
      const { mode, size } = await file.stat()
      // Windows has no such bits: every file reads as open to all
      if (process.platform !== "win32" && (mode & OTHERS) !== 0)
        throw unreadable(path, `mode 600, got ${(mode & 0o777).toString(8)}`, `chmod 600 ${path}`)
      if (size > FILE_BYTES_MAX) throw malformed(path, `${size} bytes`)
      return parse(await file.readFile("utf8"), path)
    } finally {
      await file.close()
    }
  } catch (cause) {
    if (cause instanceof LaminaError) throw cause
    const { code, message } = cause as NodeJS.ErrnoException
    if (code === "ENOENT") return undefined
    throw new LaminaError("FILE_UNREADABLE", `identity ${path}: ${code ?? message}`, { cause })
  }
}

function parse(text: string, path: string): Identity {
  const [header, seedHex, ...rest] = text.split("\n")
  const seed = fromHex(seedHex ?? "")
  if (header !== FILE_HEADER) throw malformed(path, "another first line")
  if (seed?.byteLength !== SEED_BYTES || rest.join("") !== "") throw malformed(path, "another second line")
  return identityFromSeed(seed)
}

function malformed(path: string, got: string): LaminaError {
  const hint = "restore it, or move it away to have a new identity made; the coordinator will see a new client"
  return unreadable(path, `"${FILE_HEADER}" and a line of 64 hexadecimal digits, got ${got}`, hint)
}

function unreadable(path: string, expected: string, hint: string): LaminaError {
  return new LaminaError("FILE_UNREADABLE", `identity ${path}: expected ${expected}`, { hint })
}

async function create(path: string): Promise<Identity> {
  const made = generateIdentity()
  const part = `${path}.${randomUUID()}.part`
  try {
    await mkdir(dirname(path), { recursive: true })
    const file = await open(part, "wx", OWNER_ONLY)
    try {
      await file.writeFile(`${FILE_HEADER}\n${toHex(made.secretKey)}\n`)
      await file.sync()
    } finally {
      await file.close()
    }
    if (!(await linkNew(part, path))) return await winner(path)
    await syncFolder(dirname(path))
    return made
  } catch (cause) {
    if (cause instanceof LaminaError) throw cause
    const { code, message } = cause as NodeJS.ErrnoException
    throw new LaminaError("FILE_UNWRITABLE", `identity ${path}: ${code ?? message}`, { cause })
  } finally {
    await rm(part, { force: true }).catch(() => undefined) // the outcome above is the one to tell
  }
}

async function winner(path: string): Promise<Identity> {
  const identity = await load(path)
  if (!identity)
    throw new LaminaError("FILE_UNWRITABLE", `identity ${path}: another process made it and removed it again`)
  return identity
}

/** Gives the finished file its name; false when another process was first (a rename would replace its identity). */
async function linkNew(part: string, path: string): Promise<boolean> {
  try {
    await link(part, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false
    throw error
  }
}
