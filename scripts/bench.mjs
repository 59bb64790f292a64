// npm run bench -- NAME [OPTIONS]: one benchmark of bench/. Benchmarks are not tests: nothing asserts a time.
import { existsSync, readdirSync } from "node:fs"

import { build, ensureInstalled, root, runNode } from "./setup.mjs"

const [name, ...options] = process.argv.slice(2)
const known = readdirSync(`${root}bench`)
  .filter((file) => file.endsWith(".mjs"))
  .map((file) => file.slice(0, -4))
if (name === undefined || !existsSync(`${root}bench/${name}.mjs`)) {
  process.stderr.write(`usage: npm run bench -- NAME [OPTIONS], NAME one of: ${known.join(", ")}\n`)
  process.exit(2)
}
ensureInstalled({ quiet: true })
build({ quiet: true })
runNode(`bench/${name}.mjs`, options)
