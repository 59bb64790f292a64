import { execFile } from "node:child_process"
import { createWriteStream } from "node:fs"
import { mkdtemp, readdir, rm, stat } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pipeline } from "node:stream/promises"
import { promisify } from "node:util"

const MIB = 2 ** 20
/** What a child process prints: rows it packed, and the most memory it had, in KiB. */
interface Outcome {
  readonly rows: number
  readonly tokens: number
  readonly maxRss: number
}

/** Reads, tokenizes (a token for four characters) and packs a file, then reads every row once. */
const CHILD = `
import { createBatches } from ${JSON.stringify(new URL("../../packages/tuner/dist/data/batches.js", import.meta.url))}
import { prepareRows } from ${JSON.stringify(new URL("../../packages/tuner/dist/data/prepare.js", import.meta.url))}
const [kind, path] = process.argv.slice(1)
const tokenizer = {
  encode: (text) => Int32Array.from({ length: Math.ceil(text.length / 4) }, (_, i) => text.charCodeAt(4 * i)),
  decode: () => "",
  vocabularySize: 65536,
}
const options = { tokenizer, context: 512, lossOn: "all", memoryTokens: 2 ** 20 }
const rows = await prepareRows({ kind, paths: [path] }, options)
const batchAt = createBatches({ rows, batch: 1, seed: 1 })
for (let i = 0; i < rows.length; i++) batchAt(i)
console.log(JSON.stringify({ rows: rows.length, tokens: rows.tokens, maxRss: process.resourceUsage().maxRSS }))
rows.close()
`

let folder = ""
beforeAll(async () => (folder = await mkdtemp(join(tmpdir(), "lamina-large-"))))
afterAll(() => rm(folder, { recursive: true }))

const ROWS: Readonly<Record<string, (i: number) => string>> = {
  jsonl: (i) => `{"prompt":"number ${i}","response":"${"word ".repeat(200)}"}\n`,
  csv: (i) => (i === 0 ? "prompt,response\n" : `"number ${i}","${"word, ".repeat(170)}"\n`),
  text: (i) => `paragraph ${i} ${"of some words ".repeat(70)}\n`,
}

async function write(kind: string, bytes: number): Promise<string> {
  const path = join(folder, `${bytes}.${kind}`)
  const row = ROWS[kind] as (i: number) => string
  await pipeline(function* () {
    for (let i = 0, written = 0; written < bytes; i++) {
      const line = row(i)
      written += line.length
      yield line
    }
  }, createWriteStream(path))
  return path
}

async function prepare(kind: string, bytes: number): Promise<Outcome> {
  const path = await write(kind, bytes)
  expect((await stat(path)).size).toBeGreaterThanOrEqual(bytes)
  const flags = ["--max-old-space-size=32", "--max-semi-space-size=4", "--input-type=module", "-e", CHILD, kind, path]
  const { stdout } = await promisify(execFile)(process.execPath, flags, { env: { PATH: process.env.PATH } })
  return JSON.parse(stdout) as Outcome
}

// A 64 MiB file read whole is 64 MiB of bytes, 64 to 128 MiB of text and 64 MiB of tokens at least. As a stream it adds
// to an 8 MiB file's memory: 20 bytes for each of 32 Ki windows (0.6 MiB), and what the collector has not yet taken
// back of a heap held to 32 MiB. Half the file is well above that and well below anything that holds the file.
test.each(["jsonl", "csv", "text"])(
  "memory does not grow with a %s file",
  async (kind) => {
    const small = await prepare(kind, 8 * MIB)
    const large = await prepare(kind, 64 * MIB)
    expect(large.tokens / small.tokens).toBeGreaterThan(7.9)
    expect((large.maxRss - small.maxRss) * 1024).toBeLessThan(32 * MIB)
  },
  180_000,
)

/** Spools more tokens than stay in memory and prints what became of it. */
const SPOOL = `
import { TokenSpool } from ${JSON.stringify(new URL("../../packages/tuner/dist/data/token-spool.js", import.meta.url))}
const spool = new TokenSpool({ context: 8, memoryTokens: 8 })
const document = { ids: new Int32Array(8), predicted: new Uint8Array(8).fill(1) }
try {
  for (let i = 0; i < 4096; i++) spool.add(document)
  console.log("fits")
} catch ({ code, hint, cause }) {
  spool.close()
  console.log(code, cause.code, hint)
}
`

// 32 Ki tokens are 128 KiB; files may have 64 KiB at most.
test.each([
  ["the disk is full", "ulimit -f 64", "", "EFBIG"],
  ["there is no folder for it", "true", "missing", "ENOENT"],
])("tokens that cannot be spooled are FILE_UNWRITABLE: %s", async (_, limit, name, reason) => {
  const spool = await mkdtemp(join(folder, "spool-"))
  const command = `${limit} && exec "$0" --input-type=module -e "$1"`
  const env = { PATH: process.env.PATH, TMPDIR: join(spool, name) }
  const { stdout } = await promisify(execFile)("sh", ["-c", command, process.execPath, SPOOL], { env })
  expect(stdout).toBe(`FILE_UNWRITABLE ${reason} TMPDIR names another folder\n`)
  expect(await readdir(spool)).toEqual([])
})
