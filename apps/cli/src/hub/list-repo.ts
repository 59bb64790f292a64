import { LaminaError } from "@lamina/protocol/errors"

import type { HubConfig } from "./hub-config.js"
import { PassingFailure, unreachable } from "./hub-http.js"
import type { HubHttp } from "./hub-http.js"
import { isSafePath } from "./model-name.js"
import type { ModelName } from "./model-name.js"

/** A file of a repository, with what its bytes must be. */
export interface HubFile {
  readonly path: string
  /** Bytes. */
  readonly size: number
  /** Large files by sha256, small ones by git's sha1 of a blob. */
  readonly hash: { readonly kind: "sha256" | "git-sha1"; readonly hex: string }
}

/** A revision of a repository as the hub describes it. */
interface HubRepo {
  readonly commit: string
  readonly files: readonly HubFile[]
}

/** Names, sizes and hashes of ten thousand files take 4 MB. */
const ANSWER_BYTES_MAX = 32 * 2 ** 20

/**
 * The files of a revision. HUB_REFUSED, NOT_FOUND, RATE_LIMITED, HUB_UNREACHABLE; HUB_MALFORMED for an answer that is
 * not a hub's. Left out are hidden files and those whose names have more than letters, digits and - _ . + in them.
 */
export async function listRepo(
  http: HubHttp,
  { endpoint }: HubConfig,
  { name, signal }: { name: ModelName; signal: AbortSignal },
): Promise<HubRepo> {
  const url = new URL(`${endpoint}/api/models/${name.repo}/revision/${encodeURIComponent(name.revision)}?blobs=true`)
  const text = await http.retry(async () => readText(await http.get({ url: url.href, signal }), url, signal), {
    signal,
  })
  let answer: unknown
  try {
    answer = JSON.parse(text)
  } catch (cause) {
    throw malformed(url, `expected JSON, ${(cause as Error).message.slice(0, 120)}`, cause)
  }
  const { sha, siblings } = objectOf(answer)
  if (typeof sha !== "string" || !/^[0-9a-f]{40}$/.test(sha))
    throw malformed(url, "sha: expected a commit's 40 hex digits")
  if (!Array.isArray(siblings)) throw malformed(url, "siblings: expected a list of files")
  return { commit: sha, files: siblings.flatMap((file) => parseFile(file, url)) }
}

function parseFile(value: unknown, url: URL): HubFile[] {
  const { rfilename: path, size, blobId, lfs } = objectOf(value)
  if (typeof path !== "string") throw malformed(url, "siblings: expected a name for every file")
  if (!isSafePath(path)) return []
  const large = lfs === undefined || lfs === null ? undefined : objectOf(lfs)
  const bytes = large?.size ?? size
  if (!Number.isSafeInteger(bytes) || (bytes as number) < 0) throw malformed(url, `${path}: expected its size`)
  const hex = large === undefined ? blobId : (large.sha256 ?? large.oid)
  if (typeof hex !== "string" || !(large === undefined ? /^[0-9a-f]{40}$/ : /^[0-9a-f]{64}$/).test(hex))
    throw malformed(url, `${path}: expected its hash`)
  return [{ path, size: bytes as number, hash: { kind: large === undefined ? "git-sha1" : "sha256", hex } }]
}

async function readText(response: Awaited<ReturnType<HubHttp["get"]>>, url: URL, signal: AbortSignal): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > ANSWER_BYTES_MAX) throw malformed(url, `expected at most ${ANSWER_BYTES_MAX} bytes`)
      chunks.push(chunk)
    }
  } catch (cause) {
    if (cause instanceof LaminaError || cause instanceof PassingFailure || signal.aborted) throw cause
    throw unreachable(url, cause)
  }
  return Buffer.concat(chunks).toString("utf8")
}

function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {}
}

function malformed(url: URL, message: string, cause?: unknown): LaminaError {
  return new LaminaError("HUB_MALFORMED", `${url.origin}${url.pathname}: ${message}`, {
    cause,
    hint: "is HF_ENDPOINT a hub that speaks the API of huggingface.co?",
  })
}
