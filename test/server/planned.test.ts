import type { Capability } from "@lamina/protocol"
import type { RecipeInput } from "@lamina/protocol/recipe"

import { clientOf, closeAll, coordinatorOn, MODULES, nextEvent, runRequest } from "./federation.js"
import type { ProtocolClient } from "./protocol-client.js"

afterEach(closeAll)

const MIB = 2 ** 20
/** Two blocks whose weights take 40 MiB in q8, 20 in q4. */
const SHAPE = {
  ...{ hidden: 6, layers: 2, heads: 1, kvHeads: 1, headDim: 4, ffn: 8, vocabulary: 10, modules: MODULES },
  bytes: { f32: 160 * MIB, bf16: 80 * MIB, q8: 40 * MIB, q4: 20 * MIB, nf4: 20 * MIB },
}

async function planned(changes: Partial<RecipeInput>, capabilities: readonly Partial<Capability>[]) {
  const coordinator = await coordinatorOn()
  const { base, ...request } = runRequest({ strategy: "fedpipe", rounds: 2, ...changes })
  const { id: run } = await coordinator.createRun({ ...request, base: { ...base, shape: SHAPE } })
  const opened = nextEvent(coordinator, "roundOpened")
  const clients: ProtocolClient[] = []
  for (const [i, capability] of capabilities.entries())
    clients.push(await clientOf(coordinator, ["north", "south", "west"][i]!).open({ capability }))
  return { coordinator, run, clients, cohort: (await opened).clients }
}

test("a client for which no plan fits is not of the cohort, and the round goes on without it", async () => {
  const { coordinator, run, clients, cohort } = await planned({}, [{ memoryBytes: MIB }, { memoryBytes: 1024 * MIB }])
  expect(cohort).toEqual(["south"])
  const published = nextEvent(coordinator, "roundPublished")
  const task = await clients[1]!.task(run)
  expect(task.plan.modules.map(({ rank }) => rank)).toEqual([1, 1]) // the probe
  await clients[1]!.submit(task)
  expect((await published).report).toMatchObject({ updates: 1 })
})

test("where clients merge, plans hold the base in floats, and who cannot is not of the cohort", async () => {
  const merging = { strategy: "flora", globalAdapter: { merge: true } } as const
  const capabilities = [{ precision: "q4" as const }, {}, { precision: "f32" as const }]
  const { run, clients, cohort } = await planned({ ...merging, cohort: { clients: 3 } }, capabilities)
  expect(cohort.toSorted()).toEqual(["south", "west"])
  const plans = await Promise.all(clients.slice(1).map(async (client) => (await client.task(run)).plan))
  expect(plans).toMatchObject([
    { precision: "bf16", mergeGlobal: true },
    { precision: "f32", mergeGlobal: true },
  ])
})

test("one plan for all is that of the least that is known, and everybody holds the base as it does", async () => {
  const capabilities = [{ precision: "q4" as const }, { precision: "q8" as const, memoryBytes: 0 }]
  const { run, clients } = await planned({ strategyOptions: { perClient: false } }, capabilities)
  const plans = await Promise.all(clients.map(async (client) => (await client.task(run)).plan))
  expect(plans.map(({ precision }) => precision)).toEqual(["q4", "q8"])
  const [first, second] = plans.map(({ modules, steps, batch }) => ({ modules, steps, batch }))
  expect(first).toEqual(second)
})

test("a client without memory for the base is no reason to refuse everybody else's one plan", async () => {
  // memory 0: not known, and no reason to believe that there is no limit for the other
  const { run, clients } = await planned({ strategyOptions: { perClient: false } }, [
    { memoryBytes: 0 },
    { memoryBytes: 165 * MIB },
  ])
  for (const client of clients) expect((await client.task(run)).plan.precision).not.toBe("q8")
})
