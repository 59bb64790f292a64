import { stat } from "node:fs/promises"

import { LaminaError } from "@lamina/protocol/errors"

import type { Base, BasePrecision } from "../api.js"
import { loadBase } from "./load-base.js"
import { openModelFiles } from "./model-files.js"

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
export async function sharedBase(path: string, precision: BasePrecision): Promise<Base> {
  const { real, version } = await versionOf(path)
  const key = `${precision} ${real}`
  const held = loaded.get(key)
  if (held?.version === version) return held.base
  const entry = { version, base: loadBase(real, { precision }) }
  loaded.set(key, entry)
  try {
    return await entry.base
  } catch (error) {
    if (loaded.get(key) === entry) loaded.delete(key)
    throw error
  }
}

/** Name, size and modification time of the files that make the base. */
async function versionOf(path: string): Promise<{ real: string; version: string }> {
  const files = await openModelFiles(path)
  try {
    const parts: string[] = []
    for (const name of await files.files()) {
      const { size, mtimeNs } = await stat(name, { bigint: true }).catch((cause: Error) => {
        const code = name === files.configPath ? "MODEL_CONFIG" : "WEIGHTS_MISSING"
        throw new LaminaError(code, `${name}: ${cause.message}`, { cause })
      })
      parts.push(`${name} ${size} ${mtimeNs}`)
    }
    return { real: files.path, version: parts.join("\n") }
  } finally {
    await files.close()
  }
}
