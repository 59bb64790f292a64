import { copyFile, link, mkdir, rename, rm, statfs, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { randomUUID } from "node:crypto"

import { LaminaError } from "@lamina/protocol/errors"

import { download, writeFailure } from "./download.js"
import type { HubConfig } from "./hub-config.js"
import { HubHttp, PATIENCE } from "./hub-http.js"
import type { HubPatience } from "./hub-http.js"
import { listRepo } from "./list-repo.js"
import type { HubFile } from "./list-repo.js"
import { bytesThere, repoFolder, touchUsed } from "./model-cache.js"
import type { RepoFolder } from "./model-cache.js"
import { showModelName } from "./model-name.js"
import type { ModelName } from "./model-name.js"
import { withLock } from "./repo-lock.js"
import { selectFiles } from "./select-files.js"

/** What is seen of a pull while it runs. Bytes are of one file, as far as they are on disk. */
export interface PullView {
  start(files: readonly HubFile[]): void
  progress(path: string, bytes: number): void
  note(text: string): void
  close(): void
}

interface Pull {
  readonly models: string
  readonly name: ModelName
  readonly globs: readonly string[]
  readonly hub: HubConfig
  readonly view: PullView
  readonly signal: AbortSignal
  readonly patience?: HubPatience
}

/** A revision with what was fetched or was there. */
export interface Pulled {
  readonly commit: string
  readonly folder: string
  readonly files: readonly HubFile[]
}

/** Files at once: small ones wait for the answer more than for bytes. */
const STREAMS = 4

/**
 * Brings a model of a hub into the cache. Nothing of it can be seen under its name before every file is there and
 * checked; what was fetched stays when it fails, and the next pull goes on from there. HUB_UNREACHABLE, HUB_REFUSED,
 * HUB_MALFORMED, RATE_LIMITED, NOT_FOUND, MODEL_UNSUPPORTED, USAGE, BLOB_CORRUPT, STORAGE_FULL, FILE_UNWRITABLE.
 */
export async function pull(options: Pull): Promise<Pulled> {
  const { models, name, hub, view, signal } = options
  if (hub.offline)
    throw new LaminaError("HUB_UNREACHABLE", `${showModelName(name)}: HF_HUB_OFFLINE is set, nothing is fetched`, {
      hint: "lamina model list shows what is here; unset HF_HUB_OFFLINE to pull",
    })
  const http = new HubHttp(hub, options.patience ?? PATIENCE)
  try {
    const { commit, files: all } = await listRepo(http, hub, { name, signal })
    const files = selectFiles(all, name, options.globs)
    const repo = repoFolder(models, name.repo)
    await makeFolder(repo.blobs)
    const onWait = (holder: string): void =>
      view.note(`${holder} pulls this model; waiting for it (lock file ${repo.lock})`)
    await withLock(repo.lock, { signal, onWait }, async () => {
      await checkSpace(repo, files)
      await fetchAll(files, { ...options, http, repo, commit })
      await publish(repo, { commit, revision: name.revision, files })
    })
    await touchUsed(repo)
    return { commit, folder: repo.snapshot(commit), files }
  } finally {
    view.close()
    await http.close()
  }
}

/** Says at once what would fail after an hour. */
async function checkSpace(repo: RepoFolder, files: readonly HubFile[]): Promise<void> {
  const there = await Promise.all(files.map(({ hash }) => bytesThere(repo, hash.hex)))
  const missing = files.reduce((sum, { size }, i) => sum + Math.max(0, size - (there[i] ?? 0)), 0)
  const { bavail, bsize } = await statfs(repo.root)
  if (missing <= bavail * bsize) return
  throw new LaminaError("STORAGE_FULL", `${repo.root}: expected room for ${missing} bytes, got ${bavail * bsize}`, {
    hint: "make room (lamina model list, lamina model remove), or put LAMINA_HOME on another disk",
  })
}

interface Fetching extends Pull {
  readonly http: HubHttp
  readonly repo: RepoFolder
  readonly commit: string
}

async function fetchAll(
  files: readonly HubFile[],
  { hub, name, view, signal, http, repo, commit }: Fetching,
): Promise<void> {
  view.start(files)
  const stop = new AbortController()
  const either = AbortSignal.any([signal, stop.signal])
  const same = (file: HubFile): HubFile[] => files.filter(({ hash }) => hash.hex === file.hash.hex)
  const queue = files.filter((file) => same(file)[0] === file) // two names of one content are fetched once
  const stream = async (): Promise<void> => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      const { path } = file
      const url = `${hub.endpoint}/${name.repo}/resolve/${commit}/${path.split("/").map(encodeURIComponent).join("/")}`
      const onProgress = (bytes: number): void => {
        for (const each of same(file)) view.progress(each.path, bytes)
      }
      await download({ http, url, file, blobs: repo.blobs, signal: either, onProgress })
    }
  }
  const streams = Array.from({ length: Math.min(STREAMS, files.length) }, () =>
    stream().catch((error: unknown) => {
      stop.abort()
      throw error
    }),
  )
  const failed = (await Promise.allSettled(streams)).filter((result) => result.status === "rejected")
  // the first failure has stopped the others, whose aborts say nothing
  const first = failed.find(({ reason }) => reason instanceof LaminaError) ?? failed[0]
  if (first !== undefined) throw first.reason
}

/** Gives the files their names: weights first, what makes a folder a model after them, the revision last. */
async function publish(
  repo: RepoFolder,
  { commit, revision, files }: { commit: string; revision: string; files: readonly HubFile[] },
): Promise<void> {
  const folder = repo.snapshot(commit)
  const turn = ({ path }: HubFile): number => (path === "config.json" ? 2 : path.endsWith(".json") ? 1 : 0)
  const inOrder = [...files].sort((left, right) => turn(left) - turn(right))
  for (const { path, hash } of inOrder) await place(join(repo.blobs, hash.hex), join(folder, path))
  const ref = repo.ref(revision)
  await makeFolder(dirname(ref))
  await replace(ref, (aside) => writeFile(aside, commit, { flag: "wx" }))
}

/** A second name for a file; a copy where the file system has no hard links. */
async function place(from: string, to: string): Promise<void> {
  await makeFolder(dirname(to))
  await replace(to, (aside) =>
    link(from, aside).catch((cause: NodeJS.ErrnoException) => {
      if (["EPERM", "ENOTSUP", "EOPNOTSUPP", "EMLINK", "ENOSYS"].includes(cause.code ?? ""))
        return copyFile(from, aside)
      throw cause
    }),
  )
}

async function replace(path: string, make: (aside: string) => Promise<void>): Promise<void> {
  const aside = join(dirname(path), `.${randomUUID()}`)
  try {
    await make(aside)
    await rename(aside, path)
  } catch (cause) {
    throw writeFailure(path, cause)
  } finally {
    await rm(aside, { force: true }) // rename leaves both names where they are one file
  }
}

async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true }).catch((cause: unknown) => {
    throw writeFailure(path, cause)
  })
}
