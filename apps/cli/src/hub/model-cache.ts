import { readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises"
import { join } from "node:path"

import { LaminaError } from "@lamina/protocol/errors"

import { isSafePath } from "./model-name.js"
import type { ModelName } from "./model-name.js"

/**
 * Pulled models on disk, laid out as huggingface_hub does, with hard links in the place of symbolic ones:
 *
 *     models--org--repo/blobs/HASH              contents by sha256 or git's sha1; HASH.part is being fetched
 *                       snapshots/COMMIT/FILE   the same file under its name
 *                       refs/REVISION           COMMIT; written when all files of a pull are there
 *                       used                    its time is when the model was last asked for
 *                       lock                    process that pulls or removes
 */
export interface RepoFolder {
  readonly root: string
  readonly blobs: string
  readonly used: string
  readonly lock: string
  snapshot(commit: string): string
  ref(revision: string): string
}

/** Where a repository lies in the folder of all models. */
export function repoFolder(models: string, repo: string): RepoFolder {
  const root = join(models, `models--${repo.replace("/", "--")}`)
  return {
    root,
    blobs: join(root, "blobs"),
    used: join(root, "used"),
    lock: join(root, "lock"),
    snapshot: (commit) => join(root, "snapshots", commit),
    ref: (revision) => join(root, "refs", revision),
  }
}

/** A revision that was pulled. */
export interface Snapshot {
  readonly commit: string
  readonly folder: string
  /** Paths within the folder, sorted. */
  readonly files: readonly string[]
}

/** What was pulled of a revision; undefined when nothing was. FILE_UNREADABLE. */
export async function findSnapshot(models: string, name: ModelName): Promise<Snapshot | undefined> {
  const repo = repoFolder(models, name.repo)
  const commit = (await readRef(repo.ref(name.revision))) ?? name.revision
  if (!isSafePath(commit) || commit.includes("/")) return undefined
  const folder = repo.snapshot(commit)
  const files = await listFiles(folder)
  return files.length === 0 ? undefined : { commit, folder, files }
}

/** Notes that a model was asked for; a cache that cannot be written to is not noted in. */
export async function touchUsed({ used }: RepoFolder): Promise<void> {
  const now = new Date()
  await utimes(used, now, now).catch(() => writeFile(used, "").catch(() => undefined))
}

/** All files below a folder by their path with `/`, sorted; none when it is not there. FILE_UNREADABLE. */
async function listFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(
    (cause: NodeJS.ErrnoException) => {
      if (cause.code === "ENOENT" || cause.code === "ENOTDIR") return []
      throw new LaminaError("FILE_UNREADABLE", `${folder}: ${cause.message}`, { cause })
    },
  )
  return entries
    .filter((entry) => entry.isFile() && !entry.name.startsWith(".")) // hidden ones are about to get their name
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(folder.length + 1)
        .replaceAll("\\", "/"),
    )
    .sort()
}

async function readRef(path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined) // no such revision, whatever stands in the way
  if (!found?.isFile() || found.size > 100) return undefined
  return (await readFile(path, "utf8")).trim()
}

/** Bytes of a content that are there, whole or in part. */
export async function bytesThere({ blobs }: RepoFolder, hash: string): Promise<number> {
  const whole = await stat(join(blobs, hash)).catch(() => undefined) // not there yet
  return (whole ?? (await stat(join(blobs, `${hash}.part`)).catch(() => undefined)))?.size ?? 0
}

/** A model of the cache. */
export interface CachedModel {
  readonly repo: string
  readonly folder: string
  readonly snapshots: readonly CachedSnapshot[]
  /** Bytes on disk, unfinished files among them. */
  readonly bytes: number
  /** Bytes of files that a pull has not finished. */
  readonly unfinished: number
  readonly usedAt: Date | undefined
}

/** One commit of it. */
interface CachedSnapshot extends Snapshot {
  /** The names it was pulled by. */
  readonly revisions: readonly string[]
}

/** All models of the cache by name. FILE_UNREADABLE. */
export async function listModels(models: string): Promise<CachedModel[]> {
  const folders = await readdir(models).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT") return []
    throw new LaminaError("FILE_UNREADABLE", `${models}: ${cause.message}`, { cause })
  })
  const repos = folders.sort().flatMap((folder) => repoOf(folder) ?? [])
  return Promise.all(repos.map((repo) => describe(repoFolder(models, repo), repo)))
}

/** Takes a model off the disk, all revisions of it. FILE_UNWRITABLE. The caller holds the lock. */
export async function removeModel({ root, lock }: RepoFolder): Promise<void> {
  // refs first: what is half gone must not be found by its name
  for (const part of ["refs", "snapshots", "blobs", "used"])
    await rm(join(root, part), { recursive: true, force: true }).catch((cause: Error) => {
      throw new LaminaError("FILE_UNWRITABLE", `${join(root, part)}: ${cause.message}`, { cause })
    })
  await rm(lock, { force: true })
  await rm(root, { recursive: true, force: true })
}

async function describe(repo: RepoFolder, name: string): Promise<CachedModel> {
  const refs = await listFiles(join(repo.root, "refs"))
  const commits = await Promise.all(refs.map(async (ref) => ({ ref, commit: await readRef(repo.ref(ref)) })))
  const folders = await readdir(join(repo.root, "snapshots")).catch(() => []) // none was finished
  const snapshots = folders.sort().map(async (commit) => ({
    commit,
    folder: repo.snapshot(commit),
    files: await listFiles(repo.snapshot(commit)),
    revisions: commits.filter((entry) => entry.commit === commit).map(({ ref }) => ref),
  }))
  const blobs = await listFiles(repo.blobs)
  const sizes = await Promise.all(blobs.map(async (blob) => (await stat(join(repo.blobs, blob))).size))
  const sum = (which: (blob: string) => boolean): number =>
    sizes.reduce((total, size, i) => total + (which(blobs[i] ?? "") ? size : 0), 0)
  return {
    repo: name,
    folder: repo.root,
    snapshots: await Promise.all(snapshots),
    bytes: sum(() => true),
    unfinished: sum((blob) => blob.endsWith(".part")),
    usedAt: (await stat(repo.used).catch(() => undefined))?.mtime,
  }
}

/** `models--org--repo` -> `org/repo`; undefined for another folder. */
function repoOf(folder: string): string | undefined {
  const { org, repo } = /^models--(?<org>\w[\w.-]*?)--(?<repo>\w[\w.-]*)$/.exec(folder)?.groups ?? {}
  return org === undefined ? undefined : `${org}/${repo}`
}
