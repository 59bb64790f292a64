// node bench/footprint.mjs: what the client SDK costs to install. Packs @lamina/client and what it needs of ours,
// installs the tarballs in an empty folder, once without scripts and once with scripts and no compiler in PATH, and
// loads it there. Prints one line of JSON; exits 1 above the limit. Needs the registry npm is configured with.
import { execFileSync } from "node:child_process"
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const LIMIT_MB = 150
const root = fileURLToPath(new URL("..", import.meta.url))
const temp = mkdtempSync(join(tmpdir(), "lamina-footprint-"))

try {
  const tarballs = pack(ours("@lamina/client"))
  const plain = install("plain", tarballs, { scripts: false, env: process.env })
  const bare = install("bare", tarballs, { scripts: true, env: withoutCompiler() })
  const result = {
    bench: "footprint",
    package: "@lamina/client",
    limitMB: LIMIT_MB,
    installedMB: megabytes(plain.bytes),
    installedWithoutCompilerMB: megabytes(bare.bytes),
    packages: plain.packages,
    largestMB: largest(join(temp, "plain", "node_modules")),
    kernelsWithoutCompiler: bare.kernels,
    node: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
  }
  console.log(JSON.stringify(result))
  if (result.installedMB > LIMIT_MB || result.installedWithoutCompilerMB > LIMIT_MB) process.exitCode = 1
} finally {
  rmSync(temp, { recursive: true, force: true })
}

/** The package and every package of this repository it depends on, directly or not. */
function ours(name, found = new Set()) {
  if (found.has(name)) return found
  found.add(name)
  const { dependencies = {} } = JSON.parse(readFileSync(join(folderOf(name), "package.json"), "utf8"))
  for (const dependency of Object.keys(dependencies)) if (dependency.startsWith("@lamina/")) ours(dependency, found)
  return found
}

function folderOf(name) {
  const short = name.split("/")[1]
  return join(root, short === "client" ? "apps" : "packages", short)
}

function pack(names) {
  const folder = join(temp, "tarballs")
  mkdirSync(folder)
  // without scripts: what is packed is what the build left in dist
  const args = ["pack", "--ignore-scripts", "--pack-destination", folder]
  for (const name of names) execFileSync("npm", args, { cwd: folderOf(name), stdio: ["ignore", "ignore", "pipe"] })
  return readdirSync(folder).map((file) => join(folder, file))
}

function install(name, tarballs, { scripts, env }) {
  const folder = join(temp, name)
  mkdirSync(folder)
  const options = { cwd: folder, env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name, private: true, type: "module" }))
  const flags = ["--omit=dev", "--no-audit", "--no-fund", ...(scripts ? [] : ["--ignore-scripts"])]
  execFileSync("npm", ["install", ...flags, ...tarballs], options)
  // loads, and measures with whatever kernels there are
  const program = `import { createTunerTrainer } from "@lamina/client"
const trainer = createTunerTrainer({ threads: 1 })
process.stdout.write((await trainer.calibrate()).kernels)
await trainer.close()`
  writeFileSync(join(folder, "kernels.mjs"), program)
  const kernels = execFileSync(process.execPath, ["kernels.mjs"], options)
  const { bytes, packages } = measure(join(folder, "node_modules"))
  return { bytes, packages, kernels }
}

/** A PATH with Node, npm and a shell, and nothing that compiles. */
function withoutCompiler() {
  const bin = join(temp, "bin")
  mkdirSync(bin)
  const folders = [dirname(process.execPath), ...(process.env.PATH ?? "").split(delimiter)]
  for (const tool of ["node", "npm", "sh"]) {
    const found = folders.map((folder) => join(folder, tool)).find((path) => lstatSync(path, { throwIfNoEntry: false }))
    if (!found) throw new Error(`${tool} is not in PATH`)
    symlinkSync(found, join(bin, tool))
  }
  const compilers = ["CC", "CXX", "PYTHON", "npm_config_python"].map((name) => [name, undefined])
  return { ...process.env, ...Object.fromEntries(compilers), PATH: bin }
}

/** Bytes on disk (whole blocks) and packages of a node_modules folder. */
function measure(folder) {
  let bytes = 0
  let packages = 0
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    bytes += lstatSync(path).blocks * 512
    if (entry.name === "package.json" && /node_modules(\/@[^/]+)?\/[^/]+$/.test(entry.parentPath)) packages += 1
  }
  return { bytes, packages }
}

function largest(folder) {
  const names = readdirSync(folder).flatMap((name) =>
    name.startsWith("@") ? readdirSync(join(folder, name)).map((inner) => `${name}/${inner}`) : [name],
  )
  const sizes = names
    .filter((name) => lstatSync(join(folder, name)).isDirectory() && !name.startsWith("."))
    .map((name) => [name, megabytes(measure(join(folder, name)).bytes)])
  return Object.fromEntries(sizes.sort((left, right) => right[1] - left[1]).slice(0, 6))
}

function megabytes(bytes) {
  return Math.round(bytes / 1e5) / 10
}
