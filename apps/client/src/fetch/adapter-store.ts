import { readdir, readFile, rm, stat } from "node:fs/promises"
import { join } from "node:path"

import { equalBytes, hash, toHex } from "@lamina/crypto"
import type { Adapter } from "@lamina/protocol"
import { decodeAdapter } from "@lamina/protocol"

import { makeFolder, readIfThere } from "../durable.js"
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

/** Decoded adapters of this process: its clients share the arrays, which nobody writes to. */
const decoded = new SharedWork<Adapter>({ kept: 2 })
/** A round's adapter is needed until the next one; a few older ones serve clients that are behind. */
const KEPT = 8
const KEPT_MS = 24 * 3_600_000

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
  const cached = await readIfThere(path)
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
  const bytes = new Uint8Array(await readFile(path))
  await prune(folder)
  return bytes
}

async function prune(folder: string): Promise<void> {
  const names = (await readdir(folder)).filter((name) => /^[0-9a-f]{64}$/.test(name))
  const files = await Promise.all(
    names.map(async (name) => ({ path: join(folder, name), at: (await stat(join(folder, name))).mtimeMs })),
  )
  files.sort((left, right) => right.at - left.at)
  for (const { path, at } of files.slice(KEPT)) if (Date.now() - at > KEPT_MS) await rm(path, { force: true })
}
