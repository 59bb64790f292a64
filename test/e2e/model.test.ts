import { execFileSync } from "node:child_process"
import { readFileSync, readdirSync } from "node:fs"
import { rm } from "node:fs/promises"
import { join } from "node:path"

import { HubServer } from "../../apps/cli/src/hub/testing/hub-server.js"
import { LaminaProcess, root, temporaryFolder } from "./lamina-process.js"
import type { Finished } from "./lamina-process.js"

/** `lamina model` in processes of its own, against a hub on a free port that has the embedded tiny model. */
const FILES = ["config.json", "tokenizer.json", "model.safetensors"]
let home: string
let hub: HubServer

beforeEach(async () => {
  home = temporaryFolder("home")
  const files = FILES.map((file) => [file, readFileSync(join(root, "models/tiny", file))] as const)
  hub = await HubServer.start("lamina/tiny", Object.fromEntries(files))
})
afterEach(async () => {
  await hub.close()
  await rm(home, { recursive: true })
})

function lamina(...args: string[]): Promise<Finished> {
  const env = { LAMINA_HOME: home, HF_ENDPOINT: hub.endpoint, HF_TOKEN: "", NO_PROXY: "127.0.0.1" }
  return new LaminaProcess(args, { env }).finished
}

const lastLine = ({ stdout }: Finished): unknown => JSON.parse(stdout.trim().split("\n").at(-1) ?? "")

test("a pulled model is listed, evaluated by its name, and removed", async () => {
  const pulled = await lamina("model", "pull", "lamina/tiny", "--json")
  expect(pulled.status).toBe(0)
  expect(lastLine(pulled)).toMatchObject({ model: "lamina/tiny", commit: hub.commit })
  const listed = await lamina("model", "list")
  expect(listed.stdout).toContain("lamina/tiny")
  expect(listed.stdout).toContain("main 0123456")
  const data = join(root, "examples/data/north.txt")
  const evaluated = await lamina("eval", "lamina/tiny", "--data", data, "--context", "64", "--json")
  const direct = await lamina("eval", "models/tiny", "--data", data, "--context", "64", "--json")
  expect(lastLine(evaluated)).toEqual(lastLine(direct))
  expect((await lamina("model", "remove", "lamina/tiny")).status).toBe(0)
  expect(lastLine(await lamina("model", "list", "--json"))).toEqual({ folder: join(home, "models"), models: [] })
})

test("a model that was not pulled is status 1 and the command that pulls it", async () => {
  const { status, stderr } = await lamina("eval", "lamina/tiny", "--data", "examples/data/north.txt")
  expect(status).toBe(1)
  expect(stderr).toContain("[NOT_FOUND]")
  expect(stderr).toContain("lamina: hint: lamina model pull lamina/tiny")
})

test("a name that is none is status 2, a model that the hub does not have status 1", async () => {
  expect((await lamina("model", "pull", "tiny")).status).toBe(2)
  expect((await lamina("model", "pull", "lamina/other")).status).toBe(1)
  const twice = await lamina("model", "pull", "lamina/tiny@v1", "--revision", "v2")
  expect(twice).toMatchObject({ status: 2, stderr: expect.stringContaining("got @v1 and --revision v2") })
  const file = await lamina("model", "pull", "lamina/tiny:Q4_K_M", "--file", "*.json")
  expect(file).toMatchObject({ status: 2, stderr: expect.stringContaining("got :Q4_K_M and --file *.json") })
})

test("bash completes the commands of a group and their options", async () => {
  const { stdout } = await lamina("completion", "bash")
  const complete = (...line: string[]): string[] => {
    const script = `${stdout}\nCOMP_WORDS=(${line.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${line.length - 1}
_lamina; printf '%s\\n' "\${COMPREPLY[@]}"`
    return execFileSync("bash", ["-c", script], { encoding: "utf8" }).trim().split("\n")
  }
  expect(complete("lamina", "mod")).toEqual(["model"])
  expect(complete("lamina", "model", "p")).toEqual(["pull"])
  expect(complete("lamina", "model", "pull", "--r")).toEqual(["--revision"])
  expect(complete("lamina", "eval", "--task", "")).toEqual(["perplexity", "choice", "exact", "generate"])
  expect(complete("lamina", "model", "quantize", "x", "--format", "n")).toEqual(["nf4"])
  const files = readdirSync(root).filter((file) => !file.startsWith("."))
  expect(complete("lamina", "eval", "").sort()).toEqual(expect.arrayContaining(files))
  expect(complete("lamina", "eval", "--out", "READ")).toEqual(["README.md"])
  expect(complete("lamina", "eval", "")).not.toContain("--task")
  expect(complete("lamina", "completion", "")).toEqual(["bash", "zsh", "fish"])
  for (const path of [[], ["model"], ["model", "pull"], ["eval"]])
    expect(complete("lamina", ...path, "--he")).toContain("--help")
})

test("a quantized model tells its error and is inspected and evaluated like any other", async () => {
  const out = join(home, "q4")
  const quantized = await lamina("model", "quantize", "models/tiny", "--format", "q4", "--out", out, "--json")
  const summary = lastLine(quantized) as { relativeError: number; tensors: { name: string; relativeError: number }[] }
  expect(summary.tensors.length).toBe(1 + 6 * 7)
  const errors = summary.tensors.map(({ relativeError }) => relativeError)
  expect(summary.relativeError).toBeGreaterThan(Math.min(...errors))
  expect(summary.relativeError).toBeLessThan(Math.max(...errors))
  const inspected = await lamina("model", "inspect", out, "--json")
  expect(lastLine(inspected)).toMatchObject({ architecture: "llama", tokens: 4096 })
  expect((await lamina("model", "quantize", "models/tiny", "--format", "q4", "--out", out)).status).toBe(1)
  const unknown = ["--format", "q4", "--keep", "nothing*", "--out", join(home, "x")]
  expect((await lamina("model", "quantize", "models/tiny", ...unknown)).status).toBe(2)
})
