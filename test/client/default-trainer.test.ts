import { readdirSync } from "node:fs"
import { execFile } from "node:child_process"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"

import { LaminaClient, createTunerTrainer } from "@lamina/client"
import { decodeAdapter } from "@lamina/protocol"
import { startCoordinator } from "@lamina/server"
import type { RunningCoordinator } from "@lamina/server"
import { createTunerPool, moduleShapes, readModelConfig } from "@lamina/tuner"

/** The default trainer and the shipped base, end to end: what a newcomer runs. */
const base = fileURLToPath(new URL("../../models/tiny", import.meta.url))
const example = fileURLToPath(new URL("../../examples/join-20-lines.mjs", import.meta.url))
const TEXT = "The Congress shall assemble at least once in every year, and the people shall hear of its work. "

let folder: string
let coordinator: RunningCoordinator
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "lamina-default-"))
  coordinator = await startCoordinator({
    dataDir: join(folder, "coordinator"),
    port: 0,
    logLevel: "silent",
    tickMs: 20,
  })
})
afterEach(async () => {
  await coordinator.close()
  await rm(folder, { recursive: true, force: true })
})

async function createRun(clients: number, rounds: number): Promise<string> {
  const modules = moduleShapes(await readModelConfig(base), ["q_proj", "v_proj"])
  const cohort = { clients, quorum: 1, softDeadlineMs: 100_000, hardDeadlineMs: 100_000 }
  const training = { steps: 3, batch: 2, context: 32 }
  const recipe = { name: "default", base: ".", rounds, lora: { rank: 4 }, training, cohort }
  return (await coordinator.createRun({ recipe: recipe as never, base: { folder: base }, modules })).id
}

test("two clients on one pool train the shipped base in two rounds, each at its own rank and precision", async () => {
  const id = await createRun(2, 2)
  const pool = await createTunerPool({ workers: 1, threads: 2 })
  try {
    const clients = [
      { name: "ada", rank: 4, precision: "f32" },
      { name: "bob", rank: 2, precision: "q8" },
    ] as const
    const losses: Record<string, number[]> = { ada: [], bob: [] }
    const results = await Promise.all(
      clients.map(({ name, ...wishes }) => {
        const data = { kind: "documents", documents: [TEXT.repeat(20) + name, TEXT] } as const
        const places = { workDir: join(folder, name), cacheDir: join(folder, "cache"), base }
        const trainer = createTunerTrainer({ pool })
        const client = new LaminaClient({ coordinator: coordinator.url, name, data, trainer, ...places, ...wishes })
        client.on("progress", ({ loss }) => losses[name]?.push(loss))
        return client.participate()
      }),
    )
    for (const { state, rounds } of results) {
      expect(state).toBe("done")
      expect(rounds.map(({ outcome }) => outcome)).toEqual(["accepted", "accepted"])
    }
    // three steps in each of two rounds; the same text again and again is learned
    for (const seen of Object.values(losses)) {
      expect(seen).toHaveLength(6)
      expect(seen[5]).toBeLessThan(seen[0] ?? 0)
    }
    const { weights, globalAdapterHash } = coordinator.run(id)
    expect(Object.keys(weights).sort()).toEqual(["ada", "bob"])
    expect(weights.ada).toBeGreaterThan(100)
    const adapter = decodeAdapter(await coordinator.adapter(globalAdapterHash ?? ""))
    // stacked: 4 + 2 of round 1, then 4 + 2 of round 2
    expect(adapter.modules[0]?.rank).toBe(12)
    for (const { b } of adapter.modules) expect(b.some((value) => value !== 0)).toBe(true)
  } finally {
    await pool.close()
  }
}, 120_000)

test("the 20-line example joins, downloads the base, trains and ends with the run", async () => {
  await createRun(1, 1)
  const data = join(folder, "data.txt")
  await writeFile(data, TEXT.repeat(30))
  const env = { ...process.env, NODE_OPTIONS: "", LAMINA_HOME: join(folder, "home") }
  const { stdout } = await promisify(execFile)(process.execPath, [example, coordinator.url, data, "ada"], { env })
  const [run] = coordinator.runs()
  const lines = stdout.trim().split("\n")
  expect(lines[0]).toMatch(/^connected as [0-9a-f]{32}$/)
  expect(lines.slice(1, -1).map((line) => line.replace(/loss .*/, "loss"))).toEqual([
    ...["round 1: 3 steps", "  step 1: loss", "  step 2: loss", "  step 3: loss", "round 1: ACCEPTED"],
  ])
  expect(lines.at(-1)).toBe(`the run is done; its adapter is ${run?.globalAdapterHash}`)
  // what a newcomer was never asked: identity, work folder, cache
  expect(readdirSync(join(folder, "home")).sort()).toEqual([
    `${new URL(coordinator.url).host.replace(":", "_")}-ada`,
    "cache",
  ])
}, 120_000)
