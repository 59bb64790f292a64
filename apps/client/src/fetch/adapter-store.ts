import { open, readdir, rm, stat } from "node:fs/promises"
import { join } from "node:path"

import { equalBytes, hash, toHex } from "@lamina/crypto"
import type { Adapter } from "@lamina/protocol"
import { decodeAdapter, LaminaError } from "@lamina/protocol"

import { makeFolder, systemCode } from "../durable.js"
import type { Emit } from "../events.js"
import { download } from "./download.js"
import type { Http } from "./http.js"
import { SharedWork } from "./shared-work.js"

interface AdapterStoreOptions {
  readonly http: Http
  /** Folder shared by all clients of the machine. */
  readonly cache: string
  /** A larger global adapter is refused before it is loaded. */
  readonly bytesMax: number
  readonly emit: Emit
  readonly signal: AbortSignal
}

/**
 * The decoded adapter of this process: its clients and their training threads share the arrays, which nobody writes to.
 * With rounds of stacking it outgrows the base, so the last one alone is kept.
 */
const decoded = new SharedWork<Adapter>({ kept: 1 })
/** A round's adapter is needed until the next one; a few older ones serve clients that are behind. */
const KEPT = 8
const KEPT_MS = 24 * 3_600_000
/** Of one read: Node's limit is 2 GiB. */
const READ_BYTES = 64 * 2 ** 20

/**
 * The global adapter with this content hash, from the cache or the coordinator. Throws FRAME_TOO_LARGE, BLOB_CORRUPT,
 * UPDATE_*.
 */
export function fetchAdapter(options: AdapterStoreOptions, adapterHash: Uint8Array): Promise<Adapter> {
  const name = toHex(adapterHash)
  const work = async (): Promise<Adapter> => decodeAdapter(await adapterBytes(options, adapterHash, name))
  return decoded.get(name, options.signal, work)
}

async function adapterBytes(options: AdapterStoreOptions, adapterHash: Uint8Array, name: string): Promise<Uint8Array> {
  const { http, cache, bytesMax, emit, signal } = options
  const folder = join(cache, "adapters")
  const path = join(folder, name)
  const cached = await readShared(path)
  if (cached && equalBytes(hash(cached), adapterHash)) return cached
  await rm(path, { force: true })
  await makeFolder(folder)
  await download(
    http,
    {
      source: `/v1/adapters/${name}`,
      path,
      partial: join(cache, "partial"),
      hash: adapterHash,
      bytesMax,
      onBytes: (bytes, bytesTotal) => emit("fetching", { what: "adapter", path: name, bytes, bytesTotal }),
    },
    signal,
  )
  const bytes = await readShared(path)
  if (!bytes) throw new LaminaError("BLOB_CORRUPT", `${path}: expected the adapter that was downloaded, got no file`)
  await prune(folder)
  return bytes
}

/** A file in memory that threads share; undefined where there is none. */
async function readShared(path: string): Promise<Uint8Array | undefined> {
  const file = await open(path, "r").catch((error: unknown) => {
    if (systemCode(error) === "ENOENT") return undefined
    throw error
  })
  if (!file) return undefined
  try {
    const { size } = await file.stat()
    const bytes = new Uint8Array(new SharedArrayBuffer(size))
    let done = 0
    for (let read = -1; read !== 0 && done < size; done += read)
      ({ bytesRead: read } = await file.read(bytes, done, Math.min(READ_BYTES, size - done), done))
    return bytes.subarray(0, done)
  } finally {
    await file.close()
  }
}

async function prune(folder: string): Promise<void> {
  const names = (await readdir(folder)).filter((name) => /^[0-9a-f]{64}$/.test(name))
  const files = await Promise.all(
    names.map(async (name) => ({ path: join(folder, name), at: (await stat(join(folder, name))).mtimeMs })),
  )
  files.sort((left, right) => right.at - left.at)
  for (const { path, at } of files.slice(KEPT)) if (Date.now() - at > KEPT_MS) await rm(path, { force: true })
}
