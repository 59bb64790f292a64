import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** Temporary folders of all tests, and of what they start, lie in one that goes with them. */
export default function ownTmp() {
  const folder = mkdtempSync(join(tmpdir(), "lamina-tests-"))
  for (const name of ["TMPDIR", "TEMP", "TMP"]) process.env[name] = folder
}

export function removeOwnTmp() {
  rmSync(process.env.TMPDIR, { recursive: true, force: true, maxRetries: 3 })
}
