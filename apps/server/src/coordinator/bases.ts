import { readdir, stat } from "node:fs/promises"
import { basename, join, relative, resolve, sep } from "node:path"

import { hash, hashFile, toHex } from "@lamina/crypto"
import { LaminaError } from "@lamina/protocol/errors"
import { compareNames, messages } from "@lamina/protocol"
import type { BaseFile } from "@lamina/protocol"

import type { BaseFileRow, BaseRow } from "../store/schema.js"
import type { Store } from "../store/store.js"

/** The bases of this coordinator: where their files lie, by content hash. */
export class Bases {
  constructor(private readonly store: Store) {}

  /** BaseManifest bytes. Throws NOT_FOUND. */
  async manifest(hashHex: string): Promise<Uint8Array> {
    const base = await this.store.base(hashHex)
    if (!base) throw new LaminaError("NOT_FOUND", `expected the hash of a base, got ${hashHex}`)
    return base.manifest
  }

  /**
   * Where a file of a base lies now. Throws NOT_FOUND, or BLOB_CORRUPT where it is gone or has another size; other
   * bytes of the same size are found by whoever fetches it, against its hash.
   */
  async file(hashHex: string): Promise<{ path: string; bytes: number }> {
    const file = await this.store.baseFile(hashHex)
    if (!file) throw new LaminaError("NOT_FOUND", `expected the hash of a base file, got ${hashHex}`)
    const path = join(file.folder, ...file.path.split("/"))
    const found = await stat(path).catch(() => undefined)
    if (found?.size !== file.bytes)
      throw new LaminaError(
        "BLOB_CORRUPT",
        `${file.path}: expected ${file.bytes} bytes, got ${found ? `${found.size}` : "no file"}`,
        {
          hint: "put the base's folder back as it was when the run was created",
        },
      )
    return { path, bytes: file.bytes }
  }
}

/**
 * Hashes every file of a folder (hidden ones left out) into a manifest, sorted by path. Throws FILE_UNREADABLE or
 * WEIGHTS_MISSING.
 */
export async function describeBase(folder: string): Promise<{ row: BaseRow; files: BaseFileRow[] }> {
  const root = resolve(folder)
  const paths = await listFiles(root)
  if (paths.length === 0)
    throw new LaminaError("WEIGHTS_MISSING", `expected the files of a base in ${root}, found none`)
  const files: BaseFile[] = []
  for (const path of paths) files.push({ path, ...(await described(join(root, ...path.split("/")))) })
  const manifest = messages.BaseManifest.encode({ name: basename(root), files })
  const baseHash = toHex(hash(manifest))
  return {
    row: { hash: baseHash, folder: root, manifest },
    files: files.map((file) => ({ base_hash: baseHash, path: file.path, hash: toHex(file.hash), bytes: file.bytes })),
  }
}

async function listFiles(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch((cause: unknown) => {
    throw new LaminaError("FILE_UNREADABLE", `expected a folder that can be read, got ${root}`, { cause })
  })
  const paths: string[] = []
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name)
    // model caches keep their files elsewhere and link to them
    const isFile = entry.isFile() || (entry.isSymbolicLink() && (await stat(path).catch(() => undefined))?.isFile())
    if (isFile) paths.push(relative(root, path).split(sep).join("/"))
  }
  return paths.filter((path) => !path.split("/").some((part) => part.startsWith("."))).sort(compareNames)
}

async function described(path: string): Promise<{ bytes: number; hash: Uint8Array }> {
  let bytes = 0
  const counted = hashFile(path, { onPiece: (more) => (bytes += more) })
  const hash = await counted.catch((cause: unknown) => {
    throw new LaminaError("FILE_UNREADABLE", `expected a file that can be read, got ${path}`, { cause })
  })
  return { bytes, hash }
}
