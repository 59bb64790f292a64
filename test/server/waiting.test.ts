import type { CoordinatorEventMap } from "@lamina/server"

import { clientOf, closeAll, coordinatorOn, joinAll, nextEvent, runRequest } from "./federation.js"
import type { ProtocolClient } from "./protocol-client.js"

afterEach(closeAll)

const reasonOf = async (client: ProtocolClient, run: string, afterRound = 0): Promise<string | undefined> =>
  (await client.next(run, afterRound)).wait?.reason

test("who waits is told what the run lacks, the run shows it, and its log hears of it once a round", async () => {
  const coordinator = await coordinatorOn()
  const waits: CoordinatorEventMap["runWaiting"][] = []
  coordinator.on("runWaiting", (event) => waits.push(event))
  const { id: run } = await coordinator.createRun(runRequest({ cohort: { clients: 3 } }))
  expect(waits).toEqual([{ runId: run, round: 1, reason: "round 1 starts when 3 clients are there, 0 are" }])
  const [north] = await joinAll(coordinator, "north", "south")
  await coordinator.tick()
  const lacking = "round 1 starts when 3 clients are there, 2 are"
  expect([await reasonOf(north!, ""), await reasonOf(north!, run)]).toEqual([lacking, lacking])
  const shown = async () =>
    ((await (await fetch(`${coordinator.url}/v1/runs/${run}`)).json()) as { waiting?: string }).waiting
  expect(await shown()).toBe(lacking)
  const opened = nextEvent(coordinator, "roundOpened")
  await clientOf(coordinator, "west").open()
  await opened
  expect([await shown(), waits.length]).toEqual([undefined, 1])
})

test("who has answered, and who was not drawn, is told that the round goes on", async () => {
  const coordinator = await coordinatorOn()
  const { id: run } = await coordinator.createRun(runRequest())
  const opened = nextEvent(coordinator, "roundOpened")
  const [north] = await joinAll(coordinator, "north", "south")
  await opened
  const west = await clientOf(coordinator, "west").open()
  expect(await reasonOf(west, run)).toBe("round 1 goes on with other clients")
  await north!.submit(await north!.task(run))
  for (const after of [0, 1])
    expect(await reasonOf(north!, run, after)).toBe("round 1 goes on, this client is done with it")
})
