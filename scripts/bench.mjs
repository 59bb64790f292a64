// npm run bench -- NAME [OPTIONS] [--out FILE]: one benchmark of bench/. Benchmarks are not tests: nothing asserts a
// time. With --out what it prints is also written to FILE, after a line that says what was run, where and when.
import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { createWriteStream, existsSync, readdirSync } from "node:fs"
import { availableParallelism, cpus, totalmem } from "node:os"

import { build, ensureInstalled, root } from "./setup.mjs"

const [name, ...options] = process.argv.slice(2)
const known = readdirSync(`${root}bench`)
  .filter((file) => file.endsWith(".mjs"))
  .map((file) => file.slice(0, -4))
if (name === undefined || !existsSync(`${root}bench/${name}.mjs`)) {
  process.stderr.write(`usage: npm run bench -- NAME [OPTIONS] [--out FILE], NAME one of: ${known.join(", ")}\n`)
  process.exit(2)
}
const at = options.indexOf("--out")
const [, out] = at < 0 ? [] : options.splice(at, 2)
ensureInstalled({ quiet: true })
build({ quiet: true })

const child = spawn(process.execPath, [`bench/${name}.mjs`, ...options], {
  cwd: root,
  stdio: ["inherit", out === undefined ? "inherit" : "pipe", "inherit"],
})
if (out !== undefined) {
  const file = createWriteStream(out)
  const memory = `${Math.round(totalmem() / 2 ** 30)} GiB`
  const about = {
    command: ["npm run bench --", name, ...options].join(" "),
    date: new Date().toISOString().slice(0, 10),
    commit: execFileSync("git", ["describe", "--always", "--dirty"], { cwd: root, encoding: "utf8" }).trim(),
    machine: `${cpus()[0]?.model ?? "unknown"}, ${availableParallelism()} cores, ${memory}`,
    node: process.version,
  }
  file.write(`${JSON.stringify(about)}\n`)
  child.stdout.pipe(file)
  child.stdout.pipe(process.stdout)
}
const [status] = await once(child, "exit")
process.exitCode = status ?? 1
