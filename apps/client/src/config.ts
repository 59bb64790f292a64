import { homedir } from "node:os"
import { join } from "node:path"

/** Where a client keeps things when nobody said otherwise. The one file of the SDK that reads the environment. */
export interface Folders {
  /** Identity, journal, spool: must survive. */
  readonly data: string
  /** Bases and global adapters by content hash, shared by all clients of the machine: may be deleted at any time. */
  readonly cache: string
}

/** `LAMINA_HOME` holds both; else the XDG folders where they are set; else `~/.lamina`. */
export function defaultFolders(env: NodeJS.ProcessEnv = process.env): Folders {
  const home = env.LAMINA_HOME
  if (home) return { data: home, cache: join(home, "cache") }
  const dot = join(homedir(), ".lamina")
  return {
    data: env.XDG_DATA_HOME ? join(env.XDG_DATA_HOME, "lamina") : dot,
    cache: env.XDG_CACHE_HOME ? join(env.XDG_CACHE_HOME, "lamina") : join(dot, "cache"),
  }
}
