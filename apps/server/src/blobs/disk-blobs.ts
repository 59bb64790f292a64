import { readFile, stat } from "node:fs/promises"
import { join } from "node:path"

import { hash, writeDurably } from "@lamina/crypto"
import { LaminaError } from "@lamina/protocol/errors"

import { onDisk } from "../store/disk-errors.js"
import type { OnDiskFailure } from "../store/disk-errors.js"
import type { Blobs } from "./blobs.js"

/** Verified blobs kept in memory: every client of a round fetches the same global adapter. */
const CACHED_BLOBS = 2

/** One file per blob, named by its hash, in one folder, which must exist. */
export function openDiskBlobs(folder: string, onFailure: OnDiskFailure): Blobs {
  const verified = new Map<string, Uint8Array>()
  const remember = (name: string, bytes: Uint8Array) => {
    verified.delete(name)
    verified.set(name, bytes)
    for (const oldest of verified.keys()) {
      if (verified.size <= CACHED_BLOBS) break
      verified.delete(oldest)
    }
  }
  return {
    put: (bytes) =>
      onDisk(async () => {
        const name = hashHex(bytes)
        const path = join(folder, name)
        const there = await stat(path).catch(() => undefined)
        if (there?.size !== bytes.length) await writeDurably(path, bytes)
        return name
      }, onFailure),
    read: (name) =>
      onDisk(async () => {
        const known = verified.get(name)
        const bytes = known ?? (await load(join(folder, name), name))
        remember(name, bytes)
        return bytes
      }, onFailure),
  }
}

async function load(path: string, name: string): Promise<Uint8Array> {
  const bytes = await readFile(path).catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT")
      throw new LaminaError("NOT_FOUND", `expected a blob ${name}, got none`)
    throw error
  })
  const actual = hashHex(bytes)
  if (actual !== name)
    throw new LaminaError("BLOB_CORRUPT", `expected content hash ${name}, got ${actual} from the disk`)
  return bytes
}

function hashHex(bytes: Uint8Array): string {
  return Buffer.from(hash(bytes)).toString("hex")
}
