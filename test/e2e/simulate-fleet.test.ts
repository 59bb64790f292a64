import { createHash } from "node:crypto"
import { readFileSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"

import { writeFoodRows } from "./food-rows.js"
import { stoppedAgainAndAgain } from "./stop-again.js"
import { lamina, root, temporaryFolder } from "./lamina-process.js"

/**
 * A small fleet of unlike devices that come and go: slow ones are late, some drop out, some crash. The seed alone
 * decides what happens, whether or not the process was killed in between.
 */
function recipeFile(strategy: string, changes = ""): string {
  const folder = temporaryFolder("fleet")
  writeFoodRows(folder, 40)
  const path = join(folder, "fleet.yaml")
  writeFileSync(
    path,
    `name: fleet
base: ${join(root, "models/tiny")}
rounds: 3
seed: 5
strategy: ${strategy}
lora: { rank: 8 }
training: { steps: 3, batch: 2, context: 64, learningRate: 0.005 }
cohort: { clients: 4, overSelection: 1.5, quorum: 0.5, softDeadlineMs: 20000, hardDeadlineMs: 40000 }
${changes}simulation:
  population:
    count: 8
    data: { path: rows.jsonl, textField: text }
    partition: { kind: dirichlet, alpha: 0.5, key: food }
    devices: [fast, slow, flaky, fast]
    ranks: [8, 4, 4, 2]
  devices:
    fast: { tokensPerSecond: 500, availability: 0.9 }
    slow: { tokensPerSecond: 20, uploadBytesPerSecond: 20000 }
    flaky: { tokensPerSecond: 200, dropout: 0.5, crash: 0.5 }
`,
  )
  return path
}

async function finished(recipe: string, out: string): Promise<void> {
  const { status, stderr } = await lamina("simulate", recipe, "--out", out)
  expect([status, status === 0 ? "" : stderr]).toEqual([0, ""])
}

/** SHA-256 of everything that must not depend on when or how often the process ran. */
function outcome(out: string): Record<string, string> {
  const files = ["results.jsonl", "report.html", "adapter/adapter_model.safetensors", "adapter/adapter_config.json"]
  const pictures = readdirSync(join(out, "pictures")).map((name) => `pictures/${name}`)
  const hashOf = (name: string) =>
    createHash("sha256")
      .update(readFileSync(join(out, name)))
      .digest("hex")
  return Object.fromEntries([...files, ...pictures].map((name) => [name, hashOf(name)]))
}

interface Turn {
  readonly outcome: string
}

test.each([
  ["flora", "SIGKILL"],
  ["zeropad", "SIGINT"],
] as const)(
  "%s: the same seed gives the same bytes twice, and stopped by %s again and again",
  async (strategy, signal) => {
    const recipe = recipeFile(strategy)
    const [calm, rough] = [temporaryFolder("calm"), temporaryFolder("rough")]
    await finished(recipe, calm)
    expect(await stoppedAgainAndAgain(recipe, rough, { every: 17, signal })).toBeGreaterThan(2)
    expect(outcome(rough)).toEqual(outcome(calm))

    const rounds = readFileSync(join(calm, "results.jsonl"), "utf8").trim().split("\n").slice(1)
    const turns = rounds.flatMap((line) => (JSON.parse(line) as { clients: Turn[] }).clients)
    const outcomes = new Set(turns.map((turn) => turn.outcome))
    expect(outcomes.has("accepted")).toBe(true)
    expect(outcomes.has("late")).toBe(true)
  },
  300_000,
)

test("a buffered run counts late updates in later rounds, the same when it is stopped again and again", async () => {
  const recipe = recipeFile("flora")
  const buffered = readFileSync(recipe, "utf8")
    .replace("cohort: { clients: 4, overSelection: 1.5,", "cohort: { clients: 6, buffer: { size: 3 },")
    .replace("hardDeadlineMs: 40000", "hardDeadlineMs: 400000")
  writeFileSync(recipe, buffered)
  const calm = temporaryFolder("calm")
  await finished(recipe, calm)
  for (const signal of ["SIGKILL", "SIGINT"] as const) {
    const rough = temporaryFolder("rough")
    expect(await stoppedAgainAndAgain(recipe, rough, { every: 17, signal })).toBeGreaterThan(2)
    expect(outcome(rough)).toEqual(outcome(calm))
  }
  const rounds = readFileSync(join(calm, "results.jsonl"), "utf8").trim().split("\n").slice(1)
  const stale = rounds
    .flatMap((line) => (JSON.parse(line) as { clients: (Turn & { staleness?: number })[] }).clients)
    .filter(({ outcome: what, staleness = 0 }) => what === "accepted" && staleness > 0)
  expect(stale.length).toBeGreaterThan(0)
}, 300_000)
