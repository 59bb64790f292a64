import { toHex } from "@lamina/crypto"
import { decodeAdapter } from "@lamina/protocol"
import type { AdapterModule, Capability } from "@lamina/protocol"
import type { RunningCoordinator } from "@lamina/server"

import { clientOf, closeAll, coordinatorOn, nextEvent, runRequest } from "./federation.js"
import type { ProtocolClient } from "./protocol-client.js"

afterEach(closeAll)

/** Two clients that answer round 1; their plans of round 2. */
async function secondPlans(strategy: "flora" | "zeropad", capabilities: readonly Partial<Capability>[]) {
  const coordinator = await coordinatorOn()
  const { id: run } = await coordinator.createRun(runRequest({ strategy, rounds: 2 }))
  const clients: ProtocolClient[] = []
  for (const [i, capability] of capabilities.entries())
    clients.push(await clientOf(coordinator, ["north", "south"][i]!).open({ capability }))
  const published = nextEvent(coordinator, "roundPublished")
  for (const [i, client] of clients.entries()) {
    const task = await client.task(run)
    await client.submit(task, client.seal(task, { fill: i + 1 }))
  }
  const { adapterHash } = await published
  const plans = await Promise.all(clients.map(async (client) => (await client.task(run, 1)).plan))
  return { coordinator, plans, global: decodeAdapter(await coordinator.adapter(adapterHash)) }
}

async function viewOf(coordinator: RunningCoordinator, hash: Uint8Array) {
  return decodeAdapter(await coordinator.adapter(toHex(hash)))
}

test("a strategy that goes on with the global adapter gives each client the rows it trains, no more", async () => {
  const { coordinator, plans, global } = await secondPlans("zeropad", [{ rankMax: 2 }, { rankMax: 1 }])
  for (const [i, rank] of [2, 1].entries()) {
    const plan = plans[i]!
    expect(plan.modules.map((module) => [module.rank, module.startRank])).toEqual([
      [rank, rank],
      [rank, rank],
    ])
    const view = await viewOf(coordinator, plan.globalAdapterHash)
    for (const [m, module] of view.modules.entries()) {
      const whole = global.modules[m]!
      expect(module.rank).toBe(rank)
      expect([...module.a]).toEqual([...whole.a.slice(0, rank * whole.inFeatures)])
    }
  }
})

test("a stacking strategy gives everybody all of it, or as much as a client's budget takes", async () => {
  const free = await secondPlans("flora", [{}, {}])
  for (const plan of free.plans) {
    expect(plan.globalAdapterHash).toEqual(new Uint8Array(0))
    expect(plan.modules.every(({ startRank }) => startRank === 0)).toBe(true)
  }
  const most = 300
  const { coordinator, plans, global } = await secondPlans("flora", [{ downloadBytesMax: most }, {}])
  const [cut, whole] = plans.map(({ globalAdapterHash }) => globalAdapterHash)
  expect(whole).toEqual(new Uint8Array(0))
  const view = await viewOf(coordinator, cut!)
  const bytes = (modules: typeof view.modules) =>
    modules.reduce((sum, { a, b }) => sum + a.byteLength + b.byteLength, 0)
  expect(bytes(view.modules)).toBeLessThanOrEqual(most)
  expect(bytes(global.modules)).toBeGreaterThan(most)
  expect(plans[0]!.downloadBytesMax).toBe(most)
})

test("a rank that hetlora pruned stays pruned, also after rounds that prune nothing", async () => {
  const coordinator = await coordinatorOn()
  const lora = { rank: 4, alphaPerRank: 2 }
  const request = runRequest({ strategy: "hetlora", rounds: 3, lora, strategyOptions: { pruneTo: 0.5 } })
  const { id: run } = await coordinator.createRun(request)
  const clients = [await clientOf(coordinator, "north").open(), await clientOf(coordinator, "south").open()]
  const ranks: number[][] = []
  for (let round = 0; round < 3; round++) {
    const published = nextEvent(coordinator, "roundPublished")
    const tasks = await Promise.all(clients.map((client) => client.task(run, round)))
    ranks.push(tasks.map(({ plan }) => plan.modules[0]!.rank))
    for (const [i, client] of clients.entries()) {
      // in the first round north's last two rows carry next to nothing
      const thin = i === 0 && round === 0
      const change = (modules: AdapterModule[]) =>
        modules.map((module) => ({ ...module, a: module.a.map((v, j) => (j < 2 * module.inFeatures ? v : v / 1e3)) }))
      await client.submit(tasks[i]!, client.seal(tasks[i]!, { fill: i + 1, ...(thin ? { change } : {}) }))
    }
    await published
  }
  expect(ranks).toEqual([
    [4, 4],
    [2, 4],
    [2, 4],
  ])
})

test("fedpipe without the base's sizes is refused when the run is made, not round by round", async () => {
  const coordinator = await coordinatorOn()
  await expect(coordinator.createRun(runRequest({ strategy: "fedpipe" }))).rejects.toMatchObject({
    code: "RECIPE_INVALID",
    message: expect.stringContaining("needs the base's sizes"),
  })
})
