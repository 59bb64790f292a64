#!/usr/bin/env node
import { existsSync } from "node:fs"

const main = new URL("../dist/main.js", import.meta.url)
if (existsSync(main)) {
  await import(main.href)
} else {
  process.stderr.write("lamina: error: this clone is not built yet\nlamina: hint: run npm run build\n")
  process.exitCode = 1
}
