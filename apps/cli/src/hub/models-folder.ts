import { homedir } from "node:os"
import { join } from "node:path"

/**
 * Where pulled models lie: `LAMINA_HOME/models`; else `lamina/models` in the XDG cache folder where that is set; else
 * `~/.lamina/models`. May be deleted at any time.
 */
export function modelsFolder(env: NodeJS.ProcessEnv = process.env): string {
  if (env.LAMINA_HOME) return join(env.LAMINA_HOME, "models")
  if (env.XDG_CACHE_HOME) return join(env.XDG_CACHE_HOME, "lamina", "models")
  return join(homedir(), ".lamina", "models")
}
