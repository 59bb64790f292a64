import { spawnSync } from "node:child_process"
import { existsSync, statSync } from "node:fs"
import { fileURLToPath } from "node:url"

export const root = fileURLToPath(new URL("..", import.meta.url))

/** Runs a command in the repository root, its output passed through; a failure ends this process with its status. */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: "inherit", ...options })
  if (result.error) throw result.error
  if (result.status !== 0) process.exit(result.status ?? 1)
}

/** Runs one of the project's tools with this very Node. */
export function runNode(script, args = [], options = {}) {
  run(process.execPath, [script, ...args], options)
}

/** `npm install` when it was never run here, or when the lock file is newer than what it left. */
export function ensureInstalled({ quiet = false } = {}) {
  const marker = `${root}node_modules/.package-lock.json`
  const fresh = existsSync(marker) && statSync(marker).mtimeMs >= statSync(`${root}package-lock.json`).mtimeMs
  if (fresh) return
  const args = ["install", "--no-audit", "--no-fund"]
  run("npm", args, quiet ? { stdio: ["ignore", 2, 2] } : {})
}

/** The native addon (skipped with a warning where there is no compiler), then `tsc -b`. */
export function build({ quiet = false } = {}) {
  const stdio = quiet ? ["ignore", 2, 2] : "inherit"
  runNode("packages/kernels/scripts/build-native.mjs", [], { stdio })
  runNode("node_modules/typescript/bin/tsc", ["-b"], { stdio })
}
