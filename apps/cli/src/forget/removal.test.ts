import { STRATEGIES } from "@lamina/aggregation"
import { hash, toHex } from "@lamina/crypto"
import { encodeAdapter } from "@lamina/protocol"
import type { Adapter, Update } from "@lamina/protocol"
import { Recipe } from "@lamina/protocol/recipe"
import type { RecordedRound, RunRecord } from "@lamina/server"

import { removeClient } from "./removal.js"

const recipe = Recipe.parse({ name: "tale", base: "base" })
const SETTINGS: RunRecord["settings"] = {
  ...{ alphaPerRank: 1, scaling: "lora", compress: { tau: 0 }, tau: 0.1, pruneTo: 1, combine: "stack" },
  serverOptimizer: recipe.serverOptimizer,
}

/** One module q of 3 x 2 and rank 1 with B·A = all `value`. */
function adapterOf(value: number): Adapter {
  const [a, b] = [new Float32Array(2).fill(value), new Float32Array(3).fill(1)]
  return { modules: [{ name: "q", outFeatures: 3, inFeatures: 2, rank: 1, alpha: 1, scaling: "lora", a, b }] }
}

const hashOf = (adapter: Adapter): string => toHex(hash(encodeAdapter(adapter)))

/** The record of a flora run of these rounds: what a coordinator stores, in memory. */
function recordOf(rounds: readonly (readonly Update[])[], changes: Partial<RunRecord> = {}): RunRecord {
  const kept = new Map<string, Adapter>()
  let global: Adapter | undefined
  const recorded = rounds.map((updates, i): RecordedRound => {
    const sum = STRATEGIES.flora.accumulate({ settings: SETTINGS, global, state: undefined, clients: updates })
    for (const update of updates) sum.add(update)
    global = sum.finish().global
    return {
      ...{ round: i + 1, adapterHash: hashOf(global) },
      updates: updates.map(({ clientId, weight, adapter }) => {
        kept.set(hashOf(adapter), adapter)
        return { clientId, clientName: clientId, trainedRound: i + 1, weight, hash: hashOf(adapter) }
      }),
    }
  })
  return {
    ...{ id: "tale-1", name: "tale", base: "base", strategy: "flora", settings: SETTINGS, keepsUpdates: true },
    ...{ clients: ["a", "b", "c"].map((id) => ({ id, name: id })), rounds: recorded },
    readUpdate: async (_, update) => kept.get(update.hash)!,
    ...changes,
  }
}

const update = (clientId: string, weight: number, value: number): Update => {
  return { clientId, weight, adapter: adapterOf(value) }
}
const ROUNDS = [[update("a", 1, 4), update("b", 3, 8)], [update("b", 1, 2)]]

test("the client's terms go and the others' shares stay", async () => {
  const { adapter, rounds, relativeDistance } = await removeClient(recordOf(ROUNDS), "b")
  // every value was 4 * 1/4 + 8 * 3/4 + 2 * 1 = 9, of which 1 is a's
  const [module] = adapter!.modules
  expect([module!.rank, module!.a[0]! * module!.b[0]!]).toEqual([1, 1])
  expect(relativeDistance).toBeCloseTo(8 / 9, 6)
  expect(rounds.map(({ updates, ofClient }) => [updates, ofClient])).toEqual([
    [2, 1],
    [1, 1],
  ])
  expect(rounds.map(({ withoutHash }) => withoutHash)).toEqual([hashOf(adapter!), hashOf(adapter!)])
})

test("a client who contributed nothing changes nothing, the only one leaves nothing", async () => {
  const record = recordOf(ROUNDS)
  const { rounds, relativeDistance } = await removeClient(record, "c")
  expect(relativeDistance).toBe(0)
  expect(rounds.map(({ withoutHash }) => withoutHash)).toEqual(record.rounds.map(({ adapterHash }) => adapterHash))
  const alone = await removeClient(recordOf([[update("a", 1, 4)]]), "a")
  expect([alone.adapter, alone.relativeDistance, alone.rounds[0]!.withoutHash]).toEqual([undefined, 1, undefined])
})

const CHANGED: readonly [string, (updates: RecordedRound["updates"]) => RecordedRound["updates"]][] = [
  ["another weight", ([first, second]) => [{ ...first!, weight: 2 }, second!]],
  ["a client less", ([first]) => [first!]],
  ["another's factors", ([first, second]) => [{ ...first!, hash: second!.hash }, second!]],
  ["no updates", () => []],
]
test.each(CHANGED)("%s in what was kept is found, with its round", async (_, change) => {
  const { rounds, ...record } = recordOf([ROUNDS[1]!, ROUNDS[0]!])
  const changed = rounds.map((round) => (round.round === 2 ? { ...round, updates: change(round.updates) } : round))
  await expect(removeClient({ ...record, rounds: changed }, "b")).rejects.toMatchObject({
    ...{ code: "BLOB_CORRUPT", message: expect.stringMatching(/^round 2: expected/) },
  })
})

test("a client is called by its name, also where it was named by its id", async () => {
  const named = recordOf([], { strategy: "fedit", clients: [{ id: "a", name: "ada" }] })
  await expect(removeClient(named, "a")).rejects.toThrow("from what client ada gave")
})

test("a strategy that continues, a run that kept nothing and one without rounds are refused", async () => {
  await expect(removeClient(recordOf([], { strategy: "fedit", keepsUpdates: false }), "a")).rejects.toMatchObject({
    ...{ code: "STRATEGY_UNSUITABLE" },
  })
  await expect(removeClient(recordOf(ROUNDS, { keepsUpdates: false }), "a")).rejects.toMatchObject({
    ...{ code: "NOT_FOUND", hint: expect.stringContaining("globalAdapter.keepUpdates: true") },
  })
  await expect(removeClient(recordOf([]), "a")).rejects.toMatchObject({
    ...{ code: "NOT_FOUND", message: "run tale-1 has published no round yet" },
  })
})
