import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"

import { STRATEGIES } from "@lamina/aggregation"
import { hash, toHex } from "@lamina/crypto"
import { decodeAdapter, encodeAdapter, scaleOf } from "@lamina/protocol"
import type { Adapter, AdapterModule } from "@lamina/protocol"
import { readRunRecord, startCoordinator } from "@lamina/server"
import type { KeptUpdate, RunRecord } from "@lamina/server"
import { readPeftAdapter } from "@lamina/tuner"

import { writeFoodRows } from "./food-rows.js"
import { lamina, lastJson, root, temporaryFolder } from "./lamina-process.js"

/** What a recipe says instead: field -> YAML; `slow`: the speed of slow devices. */
type Changes = Readonly<Record<string, string>>

/** Six clients of whom a cohort of three is wanted, so that some never contribute. */
function recipeText({ slow = "20, uploadBytesPerSecond: 20000", ...changes }: Changes): string {
  const fields = {
    ...{ name: "fleet", base: join(root, "models/tiny"), rounds: "3", seed: "5", lora: "{ rank: 8 }" },
    training: "{ steps: 2, batch: 2, context: 64, learningRate: 0.005 }",
    globalAdapter: "{ keepUpdates: true }",
    cohort: "{ clients: 3, overSelection: 1.5, quorum: 0.5, softDeadlineMs: 20000, hardDeadlineMs: 40000 }",
    ...changes,
  }
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}`)
  return `${lines.join("\n")}
simulation:
  population:
    count: 6
    data: { path: rows.jsonl, textField: text }
    partition: { kind: dirichlet, alpha: 0.5, key: food }
    devices: [fast, slow, fast]
    ranks: [8, 4, 4, 2]
  devices:
    fast: { tokensPerSecond: 500, availability: 0.9 }
    slow: { tokensPerSecond: ${slow} }
`
}

/** The out folder of a run that is over. */
async function simulated(changes: Changes): Promise<string> {
  const folder = temporaryFolder("forget")
  writeFoodRows(folder, 20)
  writeFileSync(join(folder, "fleet.yaml"), recipeText(changes))
  const { status, stderr } = await lamina("simulate", join(folder, "fleet.yaml"), "--out", join(folder, "run"))
  expect([status, status === 0 ? "" : stderr]).toEqual([0, ""])
  return join(folder, "run")
}

interface Forgotten {
  readonly client: { readonly id: string; readonly name: string }
  readonly rounds: readonly { round: number; recordedHash: string; recomputedHash: string; withoutHash: string }[]
  readonly relativeDistance: number
  readonly adapter: string
  readonly adapterHash: string
}

async function forget(client: string, dataDir: string): Promise<Forgotten> {
  const out = temporaryFolder("without")
  const finished = await lamina("forget", client, "--data-dir", dataDir, "--out", out, "--json")
  expect([finished.status, finished.stderr]).toEqual([0, ""])
  return lastJson<Forgotten>(finished)
}

const hashOf = (adapter: Adapter): string => toHex(hash(encodeAdapter(adapter)))
const blobOf = (out: string, name: string): string => join(out, "coordinator/adapters", name)
const keptAdapter = (out: string, update: KeptUpdate): Adapter => decodeAdapter(readFileSync(blobOf(out, update.hash)))

/** Every round's global adapter had the client trained nothing: an update without modules at its place and weight. */
function withoutHashes(out: string, { rounds, settings, strategy }: RunRecord, clientId: string): string[] {
  let global: Adapter | undefined
  return rounds.map(({ updates }) => {
    const sum = STRATEGIES[strategy].accumulate({ settings, global, state: undefined, clients: updates })
    for (const update of updates) {
      const adapter = update.clientId === clientId ? { modules: [] } : keptAdapter(out, update)
      sum.add({ clientId: update.clientId, weight: update.weight, adapter })
    }
    global = sum.finish().global
    return hashOf(global)
  })
}

/** Adds factor · s · B · A of a module. */
function addDense(sum: Float64Array, { rank, inFeatures, a, b, ...rest }: AdapterModule, factor: number): void {
  const scale = factor * scaleOf({ rank, ...rest })
  for (let i = 0; i < sum.length; i++) {
    const [row, column] = [Math.floor(i / inFeatures), i % inFeatures]
    for (let r = 0; r < rank; r++) sum[i]! += scale * b[row * rank + r]! * a[r * inFeatures + column]!
  }
}

/** ||got - sum over rounds and other clients of p_k s_k B_k A_k||_F / ||that sum||_F, entry by entry in f64. */
function denseError(out: string, { rounds }: RunRecord, clientId: string, got: AdapterModule): number {
  const target = new Float64Array(got.outFeatures * got.inFeatures)
  for (const { updates } of rounds) {
    const total = updates.reduce((sum, { weight }) => sum + weight, 0)
    for (const update of updates) {
      const module = keptAdapter(out, update).modules.find(({ name }) => name === got.name)
      if (module && update.clientId !== clientId) addDense(target, module, update.weight / total)
    }
  }
  const actual = new Float64Array(target.length)
  addDense(actual, got, 1)
  const norm = (values: Float64Array): number => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0))
  return norm(target.map((value, i) => value - actual[i]!)) / norm(target)
}

const CASES: readonly [string, Changes][] = [
  ["lossless", {}],
  ["compressed", { globalAdapter: "{ keepUpdates: true, tau: 0.05, maxRank: 12 }" }],
  [
    "buffered",
    // with half the speed of fast devices, slow ones come in one round after theirs
    {
      slow: "250",
      cohort: "{ clients: 4, buffer: { size: 2 }, quorum: 0.5, softDeadlineMs: 20000, hardDeadlineMs: 400000 }",
    },
  ],
]
test.each(CASES)(
  "a %s run without a client is, to the byte, the sum of the others' kept updates at the shares they had",
  async (kind, changes) => {
    const out = await simulated(changes)
    const record = await readRunRecord(join(out, "coordinator"))
    const kept = record.rounds.flatMap(({ round, updates }) => updates.map((update) => ({ ...update, round })))
    if (kind === "buffered") expect(kept.some(({ round, trainedRound }) => trainedRound < round)).toBe(true)
    const contributors = new Set(kept.map(({ clientId }) => clientId))

    const leaver = kept[0]!
    const without = await forget(leaver.clientName, out)
    expect(without.client).toEqual({ id: leaver.clientId, name: leaver.clientName })
    expect(without.rounds.map(({ recomputedHash }) => recomputedHash)).toEqual(
      record.rounds.map(({ adapterHash }) => adapterHash),
    )
    expect(without.rounds.map(({ withoutHash }) => withoutHash)).toEqual(withoutHashes(out, record, leaver.clientId))
    const written = await readPeftAdapter(without.adapter)
    expect([hashOf(written), without.adapterHash]).toEqual(Array(2).fill(without.rounds.at(-1)!.withoutHash))
    expect(without.rounds.at(-1)!.withoutHash).not.toBe(record.rounds.at(-1)!.adapterHash)
    expect(without.relativeDistance).toBeGreaterThan(0.01)
    // factors are rounded to f32 once per round (2^-24), products of rank 8 and sums of a few rounds lie within 1e-6
    if (kind === "lossless")
      expect(denseError(out, record, leaver.clientId, written.modules.at(-1)!)).toBeLessThan(1e-6)

    const idle = record.clients.find(({ id }) => !contributors.has(id))
    if (!idle) throw new Error("expected a client of the federation who contributed nothing, got none")
    const same = await forget(idle.id, join(out, "coordinator"))
    expect(same.rounds.map(({ withoutHash }) => withoutHash)).toEqual(
      record.rounds.map(({ adapterHash }) => adapterHash),
    )
    expect([same.relativeDistance, hashOf(await readPeftAdapter(same.adapter))]).toEqual([
      0,
      record.rounds.at(-1)!.adapterHash,
    ])
  },
  300_000,
)

test("changed bytes, an unknown client, a running coordinator and a run that kept nothing are refused", async () => {
  const out = await simulated({ rounds: "2" })
  const refused = async (client: string, dataDir = out): Promise<string> => {
    const { status, stderr } = await lamina("forget", client, "--data-dir", dataDir, "--out", join(out, "no"))
    expect(status).toBe(1)
    return stderr
  }
  const { rounds, id } = await readRunRecord(join(out, "coordinator"))
  const names = [...new Set(rounds.flatMap(({ updates }) => updates.map(({ clientName }) => clientName)))].sort()
  expect(await refused("nobody")).toContain(
    `of run ${id} (fleet), got "nobody"; its updates are of: ${names.join(", ")}`,
  )

  const coordinator = await startCoordinator({ dataDir: join(out, "coordinator"), port: 0, logLevel: "silent" })
  try {
    expect(await refused(names[0]!)).toContain("[RUN_STATE]")
  } finally {
    await coordinator.close()
  }

  const changed = rounds[1]!.updates[0]!
  const bytes = readFileSync(blobOf(out, changed.hash))
  bytes[bytes.length - 1]! ^= 1
  writeFileSync(blobOf(out, changed.hash), bytes)
  const stderr = await refused(names[0]!)
  expect(stderr).toContain(`round 2, update of client ${changed.clientName}: expected content hash ${changed.hash}`)
  expect(stderr).toContain("[BLOB_CORRUPT]")

  const unkept = await simulated({ rounds: "1", globalAdapter: "{}" })
  expect(await refused("client-001", unkept)).toContain("say globalAdapter.keepUpdates: true in the recipe")
}, 300_000)
