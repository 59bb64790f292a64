import { realpath, stat } from "node:fs/promises"
import { join } from "node:path"

import { LaminaError } from "@lamina/protocol/errors"

import type { Base, BasePrecision } from "../api.js"
import { weightFiles } from "./checkpoint-files.js"
import { loadBase } from "./load-base.js"

interface Loaded {
  readonly version: string
  readonly base: Promise<Base>
}

/** Folder and precision -> what was loaded from it last. */
const loaded = new Map<string, Loaded>()

/**
 * `loadBase`, with one copy per process of each folder and precision: callers get the same arrays. A folder whose files
 * have changed (name, size, modification time) is read again, and the process lets go of the old copy. A failure is not
 * remembered.
 */
export async function sharedBase(folder: string, precision: BasePrecision): Promise<Base> {
  const version = await folderVersion(folder)
  const key = `${precision} ${await realpath(folder)}`
  const held = loaded.get(key)
  if (held?.version === version) return held.base
  const entry = { version, base: loadBase(folder, { precision }) }
  loaded.set(key, entry)
  try {
    return await entry.base
  } catch (error) {
    if (loaded.get(key) === entry) loaded.delete(key)
    throw error
  }
}

async function folderVersion(folder: string): Promise<string> {
  const parts: string[] = []
  for (const name of ["config.json", ...(await weightFiles(folder))]) {
    const path = join(folder, name)
    const { size, mtimeNs } = await stat(path, { bigint: true }).catch((cause: Error) => {
      throw new LaminaError(name === "config.json" ? "MODEL_CONFIG" : "WEIGHTS_MISSING", `${path}: ${cause.message}`, {
        cause,
      })
    })
    parts.push(`${name} ${size} ${mtimeNs}`)
  }
  return parts.join("\n")
}
