import { STRATEGY_RULES } from "@lamina/protocol"
import type { StrategyName } from "@lamina/protocol"

import { clientOf, closeAll, coordinatorOn, nextEvent, runRequest } from "./federation.js"
import type { ProtocolClient } from "./protocol-client.js"

afterEach(closeAll)

const FILLS: Readonly<Record<string, number>> = { north: 1.1, south: -2.7, west: 0.3 }

/** Hash of the adapter that three clients make in a round, their updates in this order. */
async function adapterOf(strategy: StrategyName, order: readonly string[]): Promise<string> {
  const coordinator = await coordinatorOn()
  const cohort = { clients: 3, quorum: 1, softDeadlineMs: 60_000, hardDeadlineMs: 90_000 }
  const { id: run } = await coordinator.createRun(runRequest({ strategy, cohort }))
  const published = nextEvent(coordinator, "roundPublished")
  const clients = new Map<string, ProtocolClient>()
  // they also join in this order
  for (const [i, name] of order.entries()) {
    const rankMax = STRATEGY_RULES[strategy].unequalRanks && name === "south" ? 1 : 2
    clients.set(name, await clientOf(coordinator, name).open({ capability: { rankMax } }))
    expect(clients.size).toBe(i + 1)
  }
  for (const name of order) {
    const client = clients.get(name)!
    const task = await client.task(run)
    await client.submit(task, client.seal(task, { fill: FILLS[name]!, weight: 10 + name.length }))
  }
  return (await published).adapterHash
}

test.each(["flora", "zeropad", "hetlora", "flexlora", "fedex"] as const)(
  "%s: the order in which clients join and updates come in changes no byte",
  async (strategy) => {
    const orders = [
      ["north", "south", "west"],
      ["west", "north", "south"],
      ["south", "west", "north"],
    ] as const
    const hashes: string[] = []
    for (const order of orders) hashes.push(await adapterOf(strategy, order))
    expect(new Set(hashes).size).toBe(1)
  },
)
