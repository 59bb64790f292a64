import { readdir, readFile, stat, utimes, writeFile } from "node:fs/promises"
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
interface RepoFolder {
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
    .filter((entry) => entry.isFile())
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
