import { createHash } from "node:crypto"
import type { Hash } from "node:crypto"
import { createReadStream } from "node:fs"
import { open, rename, rm, stat } from "node:fs/promises"
import type { FileHandle } from "node:fs/promises"
import { join } from "node:path"

import { LaminaError } from "@lamina/protocol/errors"

import { writeFailure as failedWrite } from "../output/files.js"
import { PassingFailure, single, unreachable } from "./hub-http.js"
import type { HubHttp } from "./hub-http.js"
import type { HubFile } from "./list-repo.js"

/** One file to fetch into the cache. */
interface Download {
  readonly http: HubHttp
  readonly url: string
  readonly file: HubFile
  /** Folder of contents by hash. */
  readonly blobs: string
  readonly signal: AbortSignal
  /** Bytes of the file that are on disk. */
  readonly onProgress: (bytes: number) => void
}

/**
 * Fetches a file to `blobs/HASH`, unless it is there. What came before a cut stays in `HASH.part` and is gone on from,
 * in this call and the next. The file gets its name when its size and hash are right and it is on the disk.
 * BLOB_CORRUPT, STORAGE_FULL, FILE_UNWRITABLE, and what `HubHttp.get` throws.
 */
export async function download(job: Download): Promise<string> {
  const { file, blobs, http, signal, onProgress } = job
  const path = join(blobs, file.hash.hex)
  if ((await sizeOf(path)) === file.size) {
    onProgress(file.size)
    return path
  }
  const part = `${path}.part`
  let before = -1
  const progressed = (): boolean => {
    const more = have > before
    before = have
    return more
  }
  let have = 0
  // content that is wrong as a whole is fetched once more: a proxy may have cut into it
  for (let whole = 1; ; whole++) {
    await http.retry(
      async () => {
        have = await fetchRest(job, part, (bytes) => (have = bytes))
      },
      { signal, progressed },
    )
    if ((await hashOf(part, file, signal)) === file.hash.hex) break
    await rm(part, { force: true })
    if (whole === 2)
      throw new LaminaError(
        "BLOB_CORRUPT",
        `${job.url}: expected ${file.hash.kind} ${file.hash.hex}, got other bytes, twice`,
        {
          hint: "the mirror or a proxy changes files: try another HF_ENDPOINT",
        },
      )
  }
  await rename(part, path).catch((cause: unknown) => {
    throw writeFailure(path, cause)
  })
  return path
}

/** Appends what `part` lacks; its bytes then. PassingFailure when the connection ends before the file does. */
async function fetchRest(job: Download, part: string, onBytes: (bytes: number) => void): Promise<number> {
  const { file, http, signal } = job
  let start = (await sizeOf(part)) ?? 0
  if (start > file.size) start = 0
  job.onProgress(start)
  if (start === file.size && start > 0) return start
  const headers: Record<string, string> = start === 0 ? {} : { range: `bytes=${start}-` }
  const response = await http.get({ url: job.url, headers, signal })
  const { statusCode, body } = response
  if (statusCode !== 206 || !startsAt(single(response.headers["content-range"]), start)) start = 0
  if (statusCode === 416 || (statusCode === 206 && start === 0)) {
    await body.dump({ limit: 65_536 }).catch(() => undefined) // its failure changes nothing
    await rm(part, { force: true })
    const failure = new LaminaError(
      "HUB_UNREACHABLE",
      `${job.url}: expected the range that was asked for, got ${statusCode}`,
    )
    throw new PassingFailure(failure.message, failure, 0)
  }
  const out = await open(part, start === 0 ? "w" : "a").catch((cause: unknown) => {
    throw writeFailure(part, cause)
  })
  try {
    const end = await append(out, { job, part, start, body: body as AsyncIterable<Buffer>, onBytes })
    await out.sync()
    return end
  } finally {
    await out.close()
  }
}

interface Appending {
  readonly job: Download
  readonly part: string
  readonly start: number
  readonly body: AsyncIterable<Buffer>
  readonly onBytes: (bytes: number) => void
}

async function append(out: FileHandle, { job, part, start, body, onBytes }: Appending): Promise<number> {
  const { file, signal } = job
  let at = start
  const chunks = body[Symbol.asyncIterator]()
  for (;;) {
    const next = await chunks.next().catch((cause: unknown) => {
      if (signal.aborted) throw cause
      throw unreachable(new URL(job.url), cause)
    })
    if (next.done === true) break
    if (at + next.value.length > file.size) {
      await rm(part, { force: true })
      throw new LaminaError("BLOB_CORRUPT", `${job.url}: expected ${file.size} bytes, got more`)
    }
    await out.writeFile(next.value).catch((cause: unknown) => {
      throw writeFailure(part, cause)
    })
    at += next.value.length
    onBytes(at)
    job.onProgress(at)
  }
  if (at < file.size) throw unreachable(new URL(job.url), new Error(`ended after ${at} of ${file.size} bytes`))
  return at
}

/** True when `bytes 5-9/10` begins at 5. */
function startsAt(range: string | undefined, start: number): boolean {
  return range !== undefined && new RegExp(`^bytes ${start}-`).test(range)
}

async function hashOf(path: string, { size, hash }: HubFile, signal: AbortSignal): Promise<string> {
  const sum: Hash = createHash(hash.kind === "sha256" ? "sha256" : "sha1")
  if (hash.kind === "git-sha1") sum.update(`blob ${size}\0`)
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20, signal })) sum.update(chunk as Buffer)
  return sum.digest("hex")
}

/** Bytes of a file; undefined when it is not there. */
async function sizeOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.size // what cannot be read cannot be written either
}

/** What a failed write to the cache means. */
export function writeFailure(path: string, cause: unknown): LaminaError {
  const room = "make room (lamina model list, lamina model remove), then run the same command: it goes on where it was"
  return failedWrite(path, cause, room)
}
