// Builds the addon with node-gyp. Used by `npm install` (install.mjs) and `npm run build` (build-native.mjs).
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const folder = fileURLToPath(new URL("..", import.meta.url))
const addon = join(folder, "build/Release/lamina_kernels.node")
const log = join(folder, "build/native-build.log")

/** Every file the binary is made from. */
function sources() {
  const native = readdirSync(join(folder, "native"), { recursive: true, withFileTypes: true })
  return [
    join(folder, "binding.gyp"),
    ...native.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name)),
  ]
}

export function isUpToDate() {
  if (!existsSync(addon)) return false
  const built = statSync(addon).mtimeMs
  return sources().every((file) => statSync(file).mtimeMs <= built)
}

/**
 * The path of node-gyp's script: named by the package manager, installed beside us, or npm's own copy; undefined if
 * none.
 */
export function findNodeGyp() {
  const named = process.env.npm_config_node_gyp
  if (named && existsSync(named)) return named
  const prefix = dirname(dirname(process.execPath))
  const require = createRequire(import.meta.url)
  const candidates = [
    () => require.resolve("node-gyp/bin/node-gyp.js"),
    () => join(prefix, "lib/node_modules/npm/node_modules/node-gyp/bin/node-gyp.js"),
    () => join(dirname(process.execPath), "node_modules/npm/node_modules/node-gyp/bin/node-gyp.js"),
  ]
  for (const candidate of candidates) {
    try {
      const path = candidate()
      if (existsSync(path)) return path
    } catch {
      // not installed: the next place
    }
  }
  return undefined
}

/** Headers of the Node that runs this, so that no download is needed; without them node-gyp fetches its own. */
export function headerArguments() {
  const prefix = dirname(dirname(process.execPath))
  return existsSync(join(prefix, "include/node/node_api.h")) ? [`--nodedir=${prefix}`] : []
}

/** The line that says most: a missing program, then the compiler's error, then make's. */
function firstLine(output) {
  const lines = output.split("\n")
  const patterns = [/not found|no such file|could not find/i, /\berror:/, /\*\*\*|ERR!/]
  return patterns.map((pattern) => lines.find((line) => pattern.test(line))?.trim()).find((line) => line !== undefined)
}

/** Builds; returns undefined, or why it failed in one line. */
export function buildNative() {
  const nodeGyp = findNodeGyp()
  if (!nodeGyp) return "node-gyp was not found"
  const args = [nodeGyp, "rebuild", "--jobs=max", ...headerArguments()]
  const result = spawnSync(process.execPath, args, { cwd: folder, encoding: "utf8", maxBuffer: 1 << 28 })
  const output = `${result.stdout ?? ""}${result.stderr ?? ""}`
  if (result.status === 0 && existsSync(addon)) return undefined
  rmSync(addon, { force: true })
  mkdirSync(dirname(log), { recursive: true })
  writeFileSync(log, output)
  const reason = firstLine(output) ?? String(result.error ?? `node-gyp ended with ${result.status}`)
  return `${reason} (all of it: ${log})`
}

export function warn(problem) {
  process.stderr.write(
    `lamina: warning: native kernels were not built, the slow reference kernels will be used: ${problem}\n`,
  )
}
