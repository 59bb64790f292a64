import { writeFileSync } from "node:fs"
import { join } from "node:path"

import { lamina, lastJson, root, temporaryFolder } from "./lamina-process.js"

/** Tiny has 6 blocks of 7 linears; in q8 with nothing trained it takes about 150 MB, most of it the process. */
const RECIPE = `
name: planned
base: ${JSON.stringify(join(root, "models/tiny"))}
strategy: fedpipe
lora: { rank: 16 }
training: { steps: 40, batch: 8, context: 256 }
cohort: { softDeadlineMs: 60000 }
simulation:
  devices:
    desk: { memoryBytes: 2.0e9, tokensPerSecond: 7000 }
    phone: { memoryBytes: 1.7e8, tokensPerSecond: 400, uploadBytesPerSecond: 100000, uploadBytesMax: 400000 }
    watch: { memoryBytes: 5.0e7 }
  clients:
    - { name: anna, data: a.txt, device: desk }
    - { name: ben, data: a.txt, device: phone }
    - { name: cleo, data: a.txt, device: desk }
    - { name: dora, data: a.txt, device: watch }
`
const folder = temporaryFolder("plan")
const recipe = join(folder, "recipe.yaml")
writeFileSync(recipe, RECIPE)

interface Planned {
  readonly plans: readonly {
    readonly device: string
    readonly clients: readonly string[]
    readonly plan?: {
      readonly precision: string
      readonly modules: readonly { readonly name: string; readonly rank: number }[]
      readonly estimate: { readonly memoryBytes: number; readonly uploadBytes: number }
      readonly binding: readonly string[]
      readonly value: number
    }
    readonly problem?: { readonly code: string; readonly message: string }
  }[]
}

test("plan --json says what each kind of client would train, and what is too small to train anything", async () => {
  const finished = await lamina("plan", recipe, "--json")
  expect(finished.status).toBe(0)
  const [desk, phone, watch] = lastJson<Planned>(finished).plans
  expect(desk).toMatchObject({ device: "desk", clients: ["anna", "cleo"], plan: { value: 1, binding: [], steps: 40 } })
  expect(desk?.plan?.modules).toHaveLength(42)
  expect(phone?.plan?.binding).toContain("upload")
  expect(phone?.plan?.estimate.uploadBytes).toBeLessThanOrEqual(400_000)
  expect(phone?.plan?.estimate.memoryBytes).toBeLessThanOrEqual(1.7e8)
  expect(watch).toMatchObject({ problem: { code: "PLAN_INFEASIBLE", message: expect.stringContaining("memory") } })
})

test("plan prints a table, what limits each, and a picture of six layers", async () => {
  const { status, stdout } = await lamina("plan", recipe)
  expect(status).toBe(0)
  expect(stdout).toMatch(/desk +2 +q8 +all of layers 0-5: 16/)
  expect(stdout).toMatch(/^desk \(anna, cleo\): nothing limits it\n {2}down █{6}$/m)
  expect(stdout).toMatch(/^phone \(ben\): .*upload: 10 % more upload would train more/m)
  expect(stdout).toMatch(/^watch \(dora\): no plan fits: .*memory: 50000000 bytes, needed \d+/m)
})

test("scores from a file decide what a small client trains", async () => {
  const scores = join(folder, "scores.json")
  writeFileSync(scores, JSON.stringify({ "model.layers.4.mlp.up_proj": 5, "model.layers.5.self_attn.q_proj": 1 }))
  const [, phone] = lastJson<Planned>(await lamina("plan", recipe, "--scores", scores, "--json")).plans
  expect(phone?.plan?.modules.map(({ name }) => name)).toEqual([
    "model.layers.4.mlp.up_proj",
    "model.layers.5.self_attn.q_proj",
  ])
})

test("a simulation plans the precision that plan shows, for a device that no 8 bits fit in", async () => {
  const small = join(folder, "small.yaml")
  // the first round probes at rank 1 for 2 steps, which is all that this recipe's plans may be
  const text = `
name: small
base: ${JSON.stringify(join(root, "models/tiny"))}
rounds: 1
strategy: fedpipe
strategyOptions: { probeSteps: 2 }
lora: { rank: 1 }
training: { steps: 2, batch: 1, context: 32 }
simulation:
  devices: { board: { memoryBytes: 1.51e8 } }
  clients:
    - { name: anna, data: ${JSON.stringify(join(root, "examples/data/north.txt"))}, device: board }
    - { name: ben, data: ${JSON.stringify(join(root, "examples/data/south.txt"))} }
`
  writeFileSync(small, text)
  const { plans } = lastJson<Planned>(await lamina("plan", small, "--json"))
  expect(plans.map(({ plan }) => plan?.precision)).toEqual(["nf4", "q8"])
  const finished = await lamina("simulate", small, "--out", temporaryFolder("planned"), "--json")
  const { clients } = lastJson<{ clients: { name: string; precision: string }[] }>(finished)
  expect(clients.map(({ name, precision }) => [name, precision])).toEqual([
    ["anna", "nf4"],
    ["ben", "q8"],
  ])
}, 120_000)
