import { createHash } from "node:crypto"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"

import { writeFoodRows } from "./food-rows.js"
import { historyLines, stoppedAgainAndAgain } from "./stop-again.js"
import { LaminaProcess, lamina, root, temporaryFolder } from "./lamina-process.js"

/** Three clients, small and fast; `changes` are further lines of the recipe. */
function recipeFile({ name = "stops", changes = "", device = "" }): string {
  const folder = temporaryFolder("stops")
  writeFoodRows(folder, 40)
  const path = join(folder, `${name}.yaml`)
  writeFileSync(
    path,
    `name: ${name}
base: ${join(root, "models/tiny")}
rounds: 4
seed: 3
lora: { rank: 4 }
training: { steps: 2, batch: 2, context: 64, learningRate: 0.005 }
${changes}
simulation:
  population:
    count: 3
    data: { path: rows.jsonl, textField: text }
    devices: [any]
  devices:
    any: { tokensPerSecond: 500${device} }
`,
  )
  return path
}

const resultsOf = (out: string): string =>
  createHash("sha256")
    .update(readFileSync(join(out, "results.jsonl")))
    .digest("hex")

test("devices that are rarely there: killed again and again, the results are those of one go", async () => {
  const recipe = recipeFile({ changes: "cohort: { quorum: 1 }", device: ", availability: 0.4" })
  const [calm, rough] = [temporaryFolder("calm"), temporaryFolder("rough")]
  expect((await lamina("simulate", recipe, "--out", calm)).status).toBe(0)
  expect(await stoppedAgainAndAgain(recipe, rough, { every: 17, signal: "SIGKILL" })).toBeGreaterThan(1)
  expect(readFileSync(join(rough, "results.jsonl"), "utf8")).toBe(readFileSync(join(calm, "results.jsonl"), "utf8"))
}, 180_000)

test("a folder with another simulation is refused, and nothing in it changes", async () => {
  const out = temporaryFolder("out")
  expect((await lamina("simulate", recipeFile({}), "--out", out)).status).toBe(0)
  const before = resultsOf(out)
  const { status, stderr } = await lamina("simulate", recipeFile({ name: "other" }), "--out", out)
  expect([status, stderr]).toEqual([1, expect.stringContaining("expected the simulation of recipe other, got that of")])
  expect(resultsOf(out)).toBe(before)
}, 60_000)

test.each([
  ["a quorum larger than all clients", { changes: "cohort: { clients: 10 }" }, 2, "expected at most 3 clients"],
  [
    "devices that are never there together",
    { changes: "cohort: { quorum: 1 }", device: ", availability: 0.0001" },
    1,
    "week",
  ],
  [
    "no plan that fits anybody",
    { changes: "strategy: fedpipe", device: ", memoryBytes: 1000000" },
    1,
    "PLAN_INFEASIBLE",
  ],
])(
  "%s: the simulation ends with an error",
  async (_, parts, expected, message) => {
    const { status, stderr } = await lamina("simulate", recipeFile(parts), "--out", temporaryFolder("out"))
    expect([status, stderr]).toEqual([expected, expect.stringContaining(message)])
  },
  60_000,
)

test("a simulation whose devices are never there together hears Ctrl-C", async () => {
  const recipe = recipeFile({ changes: "cohort: { quorum: 1 }", device: ", availability: 0.0001" })
  const out = temporaryFolder("out")
  const running = new LaminaProcess(["simulate", recipe, "--out", out])
  while (historyLines(out) < 20) await new Promise((resolve) => setTimeout(resolve, 20))
  running.kill("SIGINT")
  expect((await running.finished).status).not.toBe(0)
}, 60_000)
