import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"

import { lamina, lastJson, root, temporaryFolder } from "./lamina-process.js"

interface Result {
  readonly adapterHash: string
  readonly adapter: string
  readonly report: string
  readonly rounds: number
  readonly clients: readonly { name: string; rank: number; tokens: number }[]
  readonly heldOut: readonly { round: number; perplexity: number }[]
}

const recipe = join(root, "examples/two-clients.yaml")

test("a run that fails says how its clients ended, and the history has why", async () => {
  const out = temporaryFolder("failed")
  const own = join(out, "recipe.yaml")
  // no client uploads as much as its plan asks for
  const text = readFileSync(recipe, "utf8").replaceAll("data/", `${join(root, "examples/data")}/`)
  const based = text.replace(/^base: .*$/m, `base: ${join(root, "models/tiny")}`)
  const limited = based.replaceAll(/rank: (8|4)(,| })/g, "rank: $1, device: small$2")
  writeFileSync(own, `${limited}  devices: { small: { uploadBytesMax: 10 } }\n`)
  const { status, stderr } = await lamina("simulate", own, "--out", out)
  const why =
    /clients of round 2: 2 failed: PLAN_UNSUPPORTED: plan: expected an update of at most 10 bytes.*\[RUN_STATE\]/
  expect([status, stderr]).toEqual([1, expect.stringMatching(why)])
  expect(stderr).toMatch(/^round 1 abandoned: quorum-missed$/m)
  expect(stderr).toContain(`lamina: hint: ${join(out, "history.jsonl")} has how`)
  const ends = readFileSync(join(out, "history.jsonl"), "utf8").match(/^.*"kind":"client".*$/gm) ?? []
  const ended = ends.map((line) => JSON.parse(line) as unknown)
  const failed = {
    outcome: "failed",
    code: "PLAN_UNSUPPORTED",
    reason: expect.stringMatching(/^plan: expected an update/),
  }
  expect(ended).toEqual(Array(4).fill(expect.objectContaining(failed)))
}, 60_000)

async function simulate(): Promise<Result> {
  const finished = await lamina("simulate", recipe, "--out", temporaryFolder("simulate"), "--json")
  expect(finished.stderr).not.toContain("error")
  expect(finished.status).toBe(0)
  return lastJson<Result>(finished)
}

test("the example federation learns, repeats byte for byte, and its adapter evaluates to the same figure", async () => {
  const first = await simulate()
  const second = await simulate()

  expect(first.heldOut.map(({ round }) => round)).toEqual([0, 1, 2])
  const [base, , last] = first.heldOut.map(({ perplexity }) => perplexity)
  expect(last).toBeLessThan(Number(base))
  expect(second.adapterHash).toBe(first.adapterHash)
  expect(first.clients.map(({ name, rank }) => [name, rank])).toEqual([
    ["north", 8],
    ["south", 4],
  ])
  expect(first.clients.every(({ tokens }) => tokens > 3_000)).toBe(true)

  const page = readFileSync(first.report, "utf8")
  expect(page.match(/<svg/g)?.length).toBe(11)
  expect(page).not.toContain("<script")
  expect(existsSync(join(first.adapter, "adapter_model.safetensors"))).toBe(true)

  // The run scores north's text on the q8 base as stored, in windows of 128 tokens: `lamina eval` must say the same
  // of the
  // exported adapter.
  const evaluation = await lamina(
    ...["eval", join(root, "models/tiny"), "--adapter", first.adapter, "--context", "128", "--json"],
    ...["--data", join(root, "examples/data/held-out.txt")],
  )
  const { perplexity, loss, accuracy } = lastJson<{ perplexity: number; loss: number; accuracy: number }>(evaluation)
  expect(perplexity).toBeCloseTo(Math.exp(loss), 9)
  const north = JSON.parse(
    readFileSync(join(first.adapter, "../history.jsonl"), "utf8")
      .trimEnd()
      .split("\n")
      .filter((line) => line.includes('"scores"'))
      .at(-1) ?? "",
  ) as { scores: { perClient: { north: { loss: number; accuracy: number } } } }
  expect(loss).toBeCloseTo(north.scores.perClient.north.loss, 4)
  expect(accuracy).toBeCloseTo(north.scores.perClient.north.accuracy, 2)
  expect(accuracy).toBeGreaterThan(0.1) // of 2,048 tokens
}, 240_000)
