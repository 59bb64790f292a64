import { rm, stat } from "node:fs/promises"
import { dirname, join } from "node:path"

import { equalBytes, hash, hashFile, toHex } from "@lamina/crypto"
import type { BaseFile, BaseManifest } from "@lamina/protocol"
import { LaminaError, messages } from "@lamina/protocol"

import { makeFolder, readIfThere, systemCode, writeDurable } from "../durable.js"
import type { Emit } from "../events.js"
import { download } from "./download.js"
import type { Http } from "./http.js"
import { SharedWork } from "./shared-work.js"

interface BaseStoreOptions {
  readonly http: Http
  /** Folder shared by all clients of the machine. */
  readonly cache: string
  /** A copy of the base that is already on this disk; it must be the one the round names. */
  readonly localBase: string | undefined
  readonly emit: Emit
  readonly signal: AbortSignal
}

const MANIFEST_BYTES_MAX = 4 * 1024 * 1024
/** One file of a base: more than any released checkpoint has, less than a number that only fills a disk. */
const FILE_BYTES_MAX = 2 ** 41

/** Folders verified by this process, by folder and base hash: all its clients share one check of the same gigabytes. */
const verified = new SharedWork<string>({ kept: Infinity })

/**
 * The folder of the base with this hash, every file of it verified against the manifest that the hash names: the
 * local copy where one was given (BASE_MISMATCH when it is another base; it is never replaced by a download), else
 * the cache, loaded where files are missing.
 */
export async function fetchBase(options: BaseStoreOptions, baseHash: Uint8Array): Promise<string> {
  const folder = options.localBase ?? join(options.cache, "bases", toHex(baseHash))
  const key = `${folder}\0${toHex(baseHash)}`
  return verified.get(key, options.signal, () => makeReady(options, baseHash, folder))
}

async function makeReady(options: BaseStoreOptions, baseHash: Uint8Array, folder: string): Promise<string> {
  const manifest = await fetchManifest(options, baseHash)
  for (const file of manifest.files) {
    const path = join(folder, ...file.path.split("/"))
    const problem = await difference(path, file, options.signal)
    if (problem === undefined) continue
    if (options.localBase !== undefined)
      throw new LaminaError("BASE_MISMATCH", `${path}: ${problem}`, {
        hint: `this run trains "${manifest.name}"; leave the base option out to download it`,
      })
    await rm(path, { force: true }) // damaged on this disk: loaded again
    await fetchFile(options, file, path)
  }
  return folder
}

async function fetchFile(options: BaseStoreOptions, file: BaseFile, path: string): Promise<void> {
  const { http, emit, signal } = options
  await makeFolder(dirname(path))
  await download(
    http,
    {
      source: `/v1/blobs/${toHex(file.hash)}`,
      path,
      partial: join(options.cache, "partial"),
      hash: file.hash,
      bytes: file.bytes,
      bytesMax: file.bytes,
      onBytes: (bytes, bytesTotal) => emit("fetching", { what: "base", path: file.path, bytes, bytesTotal }),
    },
    signal,
  )
}

/** Kept beside the bases: a client that is offline for the coordinator's HTTP still knows what it has. */
async function fetchManifest(options: BaseStoreOptions, baseHash: Uint8Array): Promise<BaseManifest> {
  const path = join(options.cache, "bases", `${toHex(baseHash)}.manifest`)
  const cached = await readIfThere(path)
  if (cached && equalBytes(hash(cached), baseHash)) return checkManifest(parse(cached))
  const bytes = await options.http.bytes(`/v1/bases/${toHex(baseHash)}`, MANIFEST_BYTES_MAX)
  if (!equalBytes(hash(bytes), baseHash))
    throw new LaminaError("BLOB_CORRUPT", `base manifest: expected hash ${toHex(baseHash)}, got ${toHex(hash(bytes))}`)
  const manifest = checkManifest(parse(bytes))
  await writeDurable(path, bytes)
  return manifest
}

function parse(bytes: Uint8Array): BaseManifest {
  return messages.BaseManifest.decode(bytes, { bytesMax: MANIFEST_BYTES_MAX })
}

/** Not hidden, not a way out of the folder, and a name on every system. */
const FILE_NAME = /^(?!\.)[^\\:*?"<>|\p{C}]+(?<![. ])$/u

/** A manifest names files inside one folder, each once. Throws FRAME_MALFORMED. */
export function checkManifest(manifest: BaseManifest): BaseManifest {
  const paths = new Set<string>()
  for (const { path, bytes } of manifest.files) {
    const safe = path.split("/").every((part) => FILE_NAME.test(part))
    if (!safe)
      throw new LaminaError(
        "FRAME_MALFORMED",
        `base manifest: expected a plain relative path, got ${JSON.stringify(path)}`,
      )
    if (paths.has(path)) throw new LaminaError("FRAME_MALFORMED", `base manifest: ${path} twice`)
    if (bytes > FILE_BYTES_MAX) throw new LaminaError("FRAME_MALFORMED", `base manifest: ${path} of ${bytes} bytes`)
    paths.add(path)
  }
  return manifest
}

/** undefined when the file is the one of the manifest. */
async function difference(path: string, file: BaseFile, signal: AbortSignal): Promise<string | undefined> {
  let bytes: number
  try {
    bytes = (await stat(path)).size
  } catch (error) {
    if (systemCode(error) === "ENOENT" || systemCode(error) === "ENOTDIR") return "expected a file, got none"
    throw new LaminaError("FILE_UNREADABLE", `cannot read ${path} (${systemCode(error) ?? "unknown"})`, {
      cause: error,
    })
  }
  if (bytes !== file.bytes) return `expected ${file.bytes} bytes, got ${bytes}`
  const got = await hashFile(path, { signal })
  return equalBytes(got, file.hash) ? undefined : `expected hash ${toHex(file.hash)}, got ${toHex(got)}`
}
