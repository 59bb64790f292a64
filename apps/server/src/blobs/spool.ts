import { closeSync, ftruncateSync, openSync } from "node:fs"
import { open, readdir, rm } from "node:fs/promises"
import { join } from "node:path"

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
  return {
    pathOf,
    create: (id, bytes) => onDisk(async () => createSync(pathOf(id), bytes), onFailure),
    write: (id, offset, bytes) =>
      onDisk(async () => {
        await writeAt(pathOf(id), offset, bytes)
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

async function writeAt(path: string, offset: number, bytes: Uint8Array): Promise<void> {
  const file = await open(path, "r+")
  try {
    let written = 0
    while (written < bytes.length)
      written += (await file.write(bytes, written, bytes.length - written, offset + written)).bytesWritten
    await file.datasync()
  } finally {
    await file.close()
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
