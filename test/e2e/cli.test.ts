import { spawnSync } from "node:child_process"
import { cpSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"

import { LaminaProcess, bin, lamina, lastJson, root, temporaryFolder } from "./lamina-process.js"

const tiny = join(root, "models/tiny")
const text = join(root, "examples/data/held-out.txt")

test("help lists every command and exits 0; an unknown command exits 2", async () => {
  const help = await lamina("--help")
  expect(help.status).toBe(0)
  for (const command of [
    "serve",
    "join",
    "run",
    "simulate",
    "eval",
    "generate",
    "chat",
    "aggregate",
    "export",
    "doctor",
    "completion",
    "demo",
  ])
    expect(help.stdout).toMatch(new RegExp(`^  ${command}`, "m"))
  expect((await lamina("train")).status).toBe(2)
  expect((await lamina("eval", tiny)).status).toBe(2)
})

test("a reader that closes the pipe ends the command quietly", () => {
  const command = `"${process.execPath}" "${bin}" model inspect "${tiny}" --tensors; echo "status $?" >&2`
  const { stderr } = spawnSync("sh", ["-c", `{ ${command}; } | true`], { encoding: "utf8" })
  expect(stderr).toBe("status 0\n")
})

test("a recipe with an unknown key exits 2 and names the key", async () => {
  const recipe = join(temporaryFolder("recipe"), "wrong.yaml")
  writeFileSync(recipe, "name: wrong\nbase: .\nlora:\n  rnak: 8\n")
  const { status, stderr } = await lamina("simulate", recipe)
  expect(status).toBe(2)
  expect(stderr).toMatch(/lamina: error: lora.*rnak.*\[RECIPE_INVALID\]/)
})

test("a missing tokenizer exits 1, names the file, and says it as one error line", async () => {
  const folder = temporaryFolder("model")
  cpSync(tiny, folder, { recursive: true })
  rmSync(join(folder, "tokenizer.json"))
  const { status, stderr } = await lamina("eval", folder, "--data", text)
  expect(status).toBe(1)
  expect(stderr).toMatch(/lamina: error: .*tokenizer\.json.*\[TOKENIZER_MISSING\]/)
})

test("a truncated weight file exits 1 and names the file", async () => {
  const folder = temporaryFolder("model")
  cpSync(tiny, folder, { recursive: true })
  writeFileSync(join(folder, "model.safetensors"), Buffer.alloc(100, 1))
  const { status, stderr } = await lamina("eval", folder, "--data", text)
  expect(status).toBe(1)
  expect(stderr).toMatch(/model\.safetensors.*\[WEIGHTS_MALFORMED\]/)
})

test("eval on q8 and on q4 differ by little and count the same tokens", async () => {
  const [stored, q4] = await Promise.all(
    ["stored", "q4"].map(async (precision) =>
      lastJson<{ perplexity: number; tokens: number }>(
        await lamina("eval", tiny, "--data", text, "--precision", precision, "--json"),
      ),
    ),
  )
  expect(q4?.tokens).toBe(stored?.tokens)
  expect(q4?.perplexity).not.toBe(stored?.perplexity)
  // 4 bits cost this model a few percent; more than 15 % would mean a wrong layout.
  expect(Number(q4?.perplexity) / Number(stored?.perplexity)).toBeLessThan(1.15)
}, 120_000)

test("doctor reports the machine as JSON", async () => {
  const report = lastJson<{ node: string; cores: number; kernels: { native: boolean } }>(
    await lamina("doctor", "--json"),
  )
  expect(report.node).toBe(process.version)
  expect(report.cores).toBeGreaterThan(0)
  expect(typeof report.kernels.native).toBe("boolean")
})

test("a folder that holds another recipe's run is refused, and nothing is trained", async () => {
  const out = temporaryFolder("reuse")
  const recipe = join(out, "recipe.yaml")
  const write = (seed: number): void =>
    writeFileSync(
      recipe,
      `name: reuse\nbase: ${tiny}\nrounds: 1\nseed: ${seed}\ntraining: { steps: 1, batch: 1, context: 64 }\n` +
        `lora: { rank: 2 }\nsimulation: { clients: [{ name: one, data: ${text} }] }\n`,
    )
  write(1)
  const first = await lamina("simulate", recipe, "--out", out, "--json")
  expect(first.status).toBe(0)
  const again = await lamina("simulate", recipe, "--out", out, "--json")
  expect(again.stderr).toContain("the run is over")
  expect(lastJson<{ adapterHash: string }>(again).adapterHash).toBe(
    lastJson<{ adapterHash: string }>(first).adapterHash,
  )
  write(2)
  const other = await lamina("simulate", recipe, "--out", out)
  expect([other.status, other.stderr]).toEqual([1, expect.stringContaining("[RUN_STATE]")])
}, 120_000)

test("a busy port is one error line with what to do, and an --out or --data-dir in a file too", async () => {
  const data = temporaryFolder("busy")
  const running = new LaminaProcess(["serve", "--port", "0", "--data-dir", join(data, "a"), "--json"])
  const [line] = await running.until(/\{"url":.*/)
  const { port } = new URL((JSON.parse(line) as { url: string }).url)
  const second = await lamina("serve", "--port", port, "--data-dir", join(data, "b"))
  expect(second.status).toBe(2)
  expect(second.stderr).toMatch(/lamina: error: .*the port is in use \[USAGE\]\nlamina: hint: /)
  const inFile = await lamina("serve", "--port", "0", "--data-dir", join(text, "x"))
  expect(inFile.stderr).toMatch(/^lamina: error: .*ENOTDIR \[FILE_UNWRITABLE\]\nlamina: hint: /)
  running.kill("SIGTERM")
  const { stdout } = await running.finished
  expect(stdout.split("\n")[0]).toBe(line)
  const simulated = await lamina("simulate", join(root, "examples/two-clients.yaml"), "--out", text)
  expect(simulated.stderr).toMatch(/\[FILE_UNWRITABLE\]/)
}, 60_000)
