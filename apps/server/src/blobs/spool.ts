import { closeSync, fdatasync, ftruncateSync, openSync, write } from "node:fs"
import { open, readdir, rm } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"

import { onDisk } from "../store/disk-errors.js"
import type { OnDiskFailure } from "../store/disk-errors.js"
import { syncFolder } from "./durable-file.js"
import { Gathered } from "./gathered.js"

/**
 * Files that fill up in any order, piece by piece, each piece durable when its promise resolves. Ids are lower-case
 * hex.
 */
export interface Spool {
  /**
   * Makes the file with its final size (all zeros); false where it is there already, and is kept. A crash may lose it
   * as long as nothing was written.
   */
  create(id: string, bytes: number): Promise<boolean>
  /** Writes at an offset; durable, with the name of the file, when it resolves. Throws STORAGE_FULL. */
  write(id: string, offset: number, bytes: Uint8Array): Promise<void>
  /** `length` bytes at `offset` into a buffer of its own; shorter where the file ends, empty where there is no file. */
  read(id: string, offset: number, length: number): Promise<Uint8Array>
  remove(id: string): Promise<void>
  ids(): Promise<string[]>
  pathOf(id: string): string
}

/** A spool of files `ID.part` in one folder, which must exist. */
export function openSpool(folder: string, onFailure: OnDiskFailure): Spool {
  const pathOf = (id: string) => join(folder, `${id}.part`)
  /** Files whose names this process has made durable. */
  const named = new Set<string>()
  const names = new Gathered<undefined, undefined>(async (asked) => {
    await syncFolder(folder)
    return asked
  })
  /** Files that are being written to: pieces that come together share the file and its sync. */
  const files = new Map<string, Writing>()
  const writeAt = async (id: string, offset: number, bytes: Uint8Array): Promise<void> => {
    let writing = files.get(id)
    if (!writing) files.set(id, (writing = new Writing(openSync(pathOf(id), "r+"))))
    writing.users += 1
    try {
      await writing.write(offset, bytes)
    } finally {
      if (--writing.users === 0 && files.delete(id)) closeSync(writing.file)
    }
  }
  return {
    pathOf,
    create: (id, bytes) => onDisk(async () => createSync(pathOf(id), bytes), onFailure),
    write: (id, offset, bytes) =>
      onDisk(async () => {
        await writeAt(id, offset, bytes)
        if (named.has(id)) return
        await names.ask(undefined)
        named.add(id)
      }, onFailure),
    read: (id, offset, length) => onDisk(() => readAt(pathOf(id), offset, length), onFailure),
    remove: (id) => {
      named.delete(id)
      return onDisk(() => rm(pathOf(id), { force: true }), onFailure)
    },
    ids: async () => {
      const names = await readdir(folder)
      return names.filter((name) => name.endsWith(".part")).map((name) => name.slice(0, -".part".length))
    },
  }
}

const written = promisify(write)
const synced = promisify(fdatasync)

class Writing {
  users = 0
  readonly #syncs = new Gathered<undefined, undefined>(async (asked) => {
    await synced(this.file)
    return asked
  })

  constructor(readonly file: number) {}

  /** Durable when it resolves: the sync that is waited for begins after the bytes were written. */
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;)
      done += (await written(this.file, bytes, done, bytes.length - done, offset + done)).bytesWritten
    await this.#syncs.ask(undefined)
  }
}

/** Two calls of the system that touch no disk: a thread of the pool would cost more than they do. */
function createSync(path: string, bytes: number): boolean {
  let file: number
  try {
    file = openSync(path, "wx")
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false
    throw error
  }
  try {
    ftruncateSync(file, bytes)
  } finally {
    closeSync(file)
  }
  return true
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
