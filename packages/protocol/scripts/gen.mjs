// Generates gen/lamina.js from proto/lamina.proto. `--check`: changes nothing, fails when the committed file is out of
// date.
import { spawnSync } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { fileURLToPath } from "node:url"

const target = fileURLToPath(new URL("../gen/lamina.js", import.meta.url))
const pbjs = createRequire(import.meta.url).resolve("protobufjs-cli/bin/pbjs")
const shape = ["-t", "static-module", "-w", "esm", "--dependency", "protobufjs/minimal.js"]
const lean = ["--no-create", "--no-convert", "--no-delimited", "--no-verify", "--no-service", "--no-comments"]
const result = spawnSync(process.execPath, [pbjs, ...shape, ...lean, "proto/lamina.proto"], {
  cwd: fileURLToPath(new URL("..", import.meta.url)),
  encoding: "utf8",
  maxBuffer: 1 << 26,
})
if (result.status !== 0) {
  process.stderr.write(result.stderr)
  process.exit(1)
}
if (!process.argv.includes("--check")) {
  writeFileSync(target, result.stdout)
} else if (readFileSync(target, "utf8") !== result.stdout) {
  process.stderr.write("packages/protocol/gen/lamina.js is out of date: run npm run gen\n")
  process.exit(1)
}
