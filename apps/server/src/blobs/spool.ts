import { closeSync, fdatasync, ftruncateSync, openSync, statSync, write } from "node:fs"
import { open, readdir, rm } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"

import { syncFolder } from "@lamina/crypto"

import { PRIVATE_FILE } from "../private.js"
import { isDiskFull, onDisk } from "../store/disk-errors.js"
import type { OnDiskFailure } from "../store/disk-errors.js"
import { Gathered } from "./gathered.js"
import { Spares } from "./spares.js"
import type { SparesOptions } from "./spares.js"

/**
 * Files that fill up in any order, piece by piece, each piece durable when its promise resolves. Ids are lower-case
 * hex. A file that is removed becomes a spare, and the next one is made of it: what was never written of a file may be
 * bytes of another, so whoever reads one checks what it reads (Uploads by leaves, openUpdate by tags and root).
 */
export interface Spool {
  /**
   * Makes the file with its final size, of zeros or what a removed file held; false where it is there already, and is
   * kept. A crash may lose it as long as nothing was written. Throws STORAGE_FULL.
   */
  create(id: string, bytes: number): Promise<boolean>
  /** Writes at an offset; durable, with the name of the file, when it resolves. Throws STORAGE_FULL. */
  write(id: string, offset: number, bytes: Uint8Array): Promise<void>
  /** `length` bytes at `offset` into a buffer of its own; shorter where the file ends, empty where there is no file. */
  read(id: string, offset: number, length: number): Promise<Uint8Array>
  remove(id: string): Promise<void>
  ids(): Promise<string[]>
  pathOf(id: string): string
  /** Removes the spares. Nothing is created or removed any more. */
  close(): Promise<void>
}

/**
 * A spool of files `ID.part` in one folder, which must exist; spares lie there as `N.spare`, and those of an earlier
 * process are removed.
 */
export function openSpool(folder: string, onFailure: OnDiskFailure, options: SparesOptions = {}): Spool {
  const pathOf = (id: string) => join(folder, `${id}.part`)
  const spares = new Spares(folder, options)
  /** Files this process has made or written to; of others, after a power cut, two may be one. */
  const known = new Map<string, Known>()
  const knownOf = (id: string): Known => {
    const file = known.get(id) ?? new Known(pathOf(id))
    known.set(id, file)
    return file
  }
  const names = new Gathered<undefined, undefined>(async (asked) => {
    await syncFolder(folder)
    return asked
  })
  /** A disk that is full gives up its spares, and is asked once more. */
  const withRoom = <T>(work: () => Promise<T>): Promise<T> =>
    onDisk(async () => {
      try {
        return await work()
      } catch (error) {
        if (!isDiskFull(error) || !(await spares.letGo())) throw error
        return await work()
      }
    }, onFailure)
  return {
    pathOf,
    create: (id, bytes) =>
      withRoom(async () => {
        const path = pathOf(id)
        if (statSync(path, { throwIfNoEntry: false })) return false
        if (!spares.take(path, bytes)) createSync(path, bytes)
        known.set(id, new Known(path))
        return true
      }),
    write: async (id, offset, bytes) => {
      const file = knownOf(id)
      await withRoom(() => file.write(offset, bytes))
      if (file.named) return
      await onDisk(() => names.ask(undefined), onFailure)
      file.named = true
    },
    read: (id, offset, length) => onDisk(() => readAt(pathOf(id), offset, length), onFailure),
    remove: (id) =>
      onDisk(async () => {
        const file = known.get(id)
        known.delete(id)
        // one that is being written to would be written to under its next name
        if (!file || file.isOpen || !spares.keep(pathOf(id))) await rm(pathOf(id), { force: true })
      }, onFailure),
    ids: async () => {
      const names = await readdir(folder)
      return names.filter((name) => name.endsWith(".part")).map((name) => name.slice(0, -".part".length))
    },
    close: () => onDisk(async () => void (await spares.letGo()), onFailure),
  }
}

const written = promisify(write)
const synced = promisify(fdatasync)

/** One file of a spool, under one id: pieces that come together share its handle and its sync. */
class Known {
  /** Whether this process has made its name durable. */
  named = false
  #file: number | undefined
  #users = 0
  readonly #syncs = new Gathered<number, undefined>(async (asked) => {
    const [file] = asked
    if (file !== undefined) await synced(file)
    return asked.map(() => undefined)
  })

  constructor(private readonly path: string) {}

  /** While pieces are written. */
  get isOpen(): boolean {
    return this.#users > 0
  }

  /** Durable when it resolves: the sync that is waited for begins after the bytes were written. */
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    const file = (this.#file ??= openSync(this.path, "r+"))
    this.#users += 1
    try {
      for (let done = 0; done < bytes.length;)
        done += (await written(file, bytes, done, bytes.length - done, offset + done)).bytesWritten
      await this.#syncs.ask(file)
    } finally {
      if (--this.#users === 0) {
        this.#file = undefined
        closeSync(file)
      }
    }
  }
}

/** Two calls of the system that touch no disk: a thread of the pool would cost more than they do. */
function createSync(path: string, bytes: number): void {
  const file = openSync(path, "wx", PRIVATE_FILE)
  try {
    ftruncateSync(file, bytes)
  } finally {
    closeSync(file)
  }
}

async function readAt(path: string, offset: number, length: number): Promise<Uint8Array> {
  const file = await open(path, "r").catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined
    throw error
  })
  if (!file) return new Uint8Array(0)
  try {
    const bytes = new Uint8Array(length)
    let read = 0
    for (;;) {
      const { bytesRead } = await file.read(bytes, read, length - read, offset + read)
      read += bytesRead
      if (bytesRead === 0 || read === length) return bytes.subarray(0, read)
    }
  } finally {
    await file.close()
  }
}
