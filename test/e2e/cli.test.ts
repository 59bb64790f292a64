import { spawnSync } from "node:child_process"
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { hostname } from "node:os"
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
    "plan",
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

test("a recipe with an unknown key exits 2 and names the file and the key", async () => {
  const recipe = join(temporaryFolder("recipe"), "wrong.yaml")
  writeFileSync(recipe, "name: wrong\nbase: .\nlora:\n  rnak: 8\n")
  const { status, stderr } = await lamina("simulate", recipe)
  expect(status).toBe(2)
  expect(stderr).toMatch(/^lamina: error: \S*wrong\.yaml: lora.*rnak.*\[RECIPE_INVALID\]/)
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
  const report = lastJson<{
    node: string
    cores: number
    kernels: { native: boolean }
    calibration: { tokensPerSecond: number; forwardTokensPerSecond: number }
  }>(await lamina("doctor", "--json"))
  expect(report.node).toBe(process.version)
  expect(report.cores).toBeGreaterThan(0)
  expect(typeof report.kernels.native).toBe("boolean")
  expect(report.calibration.tokensPerSecond).toBeGreaterThan(1)
  expect(report.calibration.forwardTokensPerSecond).toBeGreaterThan(1)
})

test("doctor measures training of a base that it is given", async () => {
  const { training } = lastJson<{ training: { base: string; precision: string; tokensPerSecond: number } }>(
    await lamina("doctor", "--base", tiny, "--precision", "q4", "--json"),
  )
  expect(training).toMatchObject({ base: tiny, precision: "q4" })
  expect(training.tokensPerSecond).toBeGreaterThan(1)
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
  // every adapter goes on naming the base of the recipe, until --base says another
  const copied = async (...command: string[]): Promise<string> => {
    const to = join(temporaryFolder("export"), "adapter")
    expect(await lamina(...command, "--out", to)).toMatchObject({ status: 0 })
    const config = JSON.parse(readFileSync(join(to, "adapter_config.json"), "utf8")) as Record<string, string>
    return config.base_model_name_or_path ?? ""
  }
  const adapter = join(out, "adapter")
  expect(await copied("export", out)).toBe(tiny)
  expect(await copied("export", adapter)).toBe(tiny)
  expect(await copied("export", adapter, "--base", "org/repo")).toBe("org/repo")
  expect(await copied("aggregate", adapter, adapter)).toBe(tiny)
  // every strategy is there, and says of each module what it made of it and who has it
  const to = join(temporaryFolder("aggregate"), "adapter")
  const padded = await lamina("aggregate", adapter, adapter, "--strategy", "zeropad", "--out", to, "--json")
  const { modules } = lastJson<{ modules: Record<string, unknown>[] }>(padded)
  expect(modules[0]).toMatchObject({ rank: 2, adapters: 2, share: 1 })
  // equal adapters: averaging misses nothing but the rounding of f32
  expect(modules.every(({ relativeError }) => Number(relativeError) < 1e-6)).toBe(true)
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
  expect(second.stderr).toMatch(/^lamina: error: .*the port is in use \[USAGE\]\nlamina: hint: /)
  const inFile = await lamina("serve", "--port", "0", "--data-dir", join(text, "x"))
  expect(inFile.stderr).toMatch(/^lamina: error: .*ENOTDIR \[FILE_UNWRITABLE\]\nlamina: hint: /)
  running.kill("SIGTERM")
  const { stdout } = await running.finished
  expect(stdout.split("\n")[0]).toBe(line)
  const simulated = await lamina("simulate", join(root, "examples/two-clients.yaml"), "--out", text)
  expect(simulated.stderr).toMatch(/\[FILE_UNWRITABLE\]/)
}, 60_000)

test("serve takes what no option says from the environment, and says how to join and to export", async () => {
  const dataDir = join(temporaryFolder("serve"), "data")
  const env = { LAMINA_PORT: "0", LAMINA_DATA_DIR: dataDir, LAMINA_LOG_LEVEL: "silent", LAMINA_JOIN_TOKEN: "12345678" }
  const running = new LaminaProcess(["serve", "--host", "0.0.0.0"], { env: { ...env, LAMINA_HOST: "192.0.2.1" } })
  const [, port] = await running.until(/coordinator {2}http:\/\/0\.0\.0\.0:(\d+)/)
  await running.until(new RegExp(`lamina join http://${hostname()}:${port} --data FILE --join-token TOKEN\n`))
  const out = join(dataDir, "..", "adapter")
  const folder = await lamina("export", dataDir, "--out", out)
  expect(folder.stderr).toMatch(/\[RUN_STATE\]\nlamina: hint: .*lamina export http:\/\/HOST:PORT --token-file .* --out/)
  const token = ["--token-file", join(dataDir, "admin.token")]
  const remote = await lamina("export", `http://127.0.0.1:${port}`, ...token, "--out", out)
  expect(remote.stderr).toContain("has no run yet [NOT_FOUND]")
  running.kill("SIGTERM")
  expect(await running.finished).toMatchObject({ status: 0, stderr: "" })
  const short = await new LaminaProcess(["serve"], { env: { ...env, LAMINA_JOIN_TOKEN: "1234567" } }).finished
  expect([short.status, short.stderr]).toEqual([2, expect.stringContaining("joinToken: expected 8 to 200 characters")])
}, 60_000)

test("a client of a run that is cancelled exits 1", async () => {
  const dataDir = temporaryFolder("cancelled")
  const env = { LAMINA_JOIN_TOKEN: "12345678" }
  const recipe = join(dataDir, "recipe.yaml")
  writeFileSync(recipe, `name: long\nbase: ${tiny}\ntraining: { steps: 60, batch: 1, context: 64 }\n`)
  const given = ["--port", "0", "--data-dir", dataDir, "--recipe", recipe, "--json"]
  const serving = new LaminaProcess(["serve", ...given], { env })
  const { url, run } = JSON.parse((await serving.until(/\{"url":.*/))[0]) as { url: string; run: string }
  const work = ["--name", "north", "--base", tiny, "--work-dir", join(dataDir, "client")]
  const client = new LaminaProcess(["join", url, "--data", text, ...work], { env })
  await client.until(/round 1: 60 steps/)
  const authorization = `Bearer ${readFileSync(join(dataDir, "admin.token"), "utf8").trim()}`
  await fetch(`${url}/v1/runs/${run}/cancel`, { method: "POST", headers: { authorization } })
  const { status, stdout } = await client.finished
  serving.kill("SIGTERM")
  await serving.finished
  expect([status, stdout]).toEqual([1, expect.stringContaining("ended: cancelled")])
}, 60_000)
