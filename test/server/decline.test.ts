import { ERRORS } from "@lamina/protocol"

import { clientOf, closeAll, coordinatorOn, emptyFolder, joinAll, nextEvent, runRequest } from "./federation.js"

afterEach(closeAll)

const code = ERRORS.PLAN_UNSUPPORTED.wire
/** Far from any deadline: only answers close these rounds. */
const THREE = { clients: 3, quorum: 0.5, softDeadlineMs: 600_000, hardDeadlineMs: 600_000 }

test("a round with its quorum does not wait for who declines, also after a restart in between", async () => {
  const dataDir = emptyFolder()
  const before = await coordinatorOn(dataDir)
  const { id: run } = await before.createRun(runRequest({ cohort: THREE }))
  const [north, south, west] = await joinAll(before, "north", "south", "west")
  await north!.submit(await north!.task(run))
  await west!.task(run)
  await west!.decline({ runId: run, round: 1, code, reason: "q4 cannot be merged into" })
  await west!.decline({ runId: run, round: 1, code: ERRORS.INTERNAL.wire, reason: "again" }) // changes nothing
  expect((await west!.next(run)).wait).toBeDefined() // the round is not offered again
  await before.close()

  const coordinator = await coordinatorOn(dataDir)
  const published = nextEvent(coordinator, "roundPublished")
  const back = await clientOf(coordinator, "south", south!.identity).open()
  await back.submit(await back.task(run))
  expect((await published).report.updates).toBe(2)
  const { members, accepted } = await coordinator.round(run, 1)
  expect(accepted).toBe(2)
  const statuses = Object.fromEntries(members.map(({ client, status, code: why }) => [client, [status, why]]))
  expect(statuses).toEqual({
    ...{ north: ["accepted", undefined], south: ["accepted", undefined], west: ["failed", "PLAN_UNSUPPORTED"] },
  })
})

test("short of a quorum a round waits for its deadline, whoever declines", async () => {
  const coordinator = await coordinatorOn()
  const cohort = { ...THREE, quorum: 1, clients: 2, softDeadlineMs: 1_500, hardDeadlineMs: 1_500 }
  const { id: run } = await coordinator.createRun(runRequest({ cohort }))
  const abandoned = nextEvent(coordinator, "roundAbandoned")
  const [north, south] = await joinAll(coordinator, "north", "south")
  await north!.task(run)
  for (const client of [north!, south!]) await client.decline({ runId: run, round: 1, code, reason: "" })
  expect(coordinator.run(run).rounds).toMatchObject([{ state: "collecting" }])
  expect(await abandoned).toMatchObject({ round: 1, reason: "quorum-missed" })
  const { openedMs, endedMs } = await coordinator.round(run, 1)
  expect(endedMs! - openedMs).toBeGreaterThanOrEqual(1_500)
})

test("a client of no cohort, a round that is not open and a run there is not: nothing happens", async () => {
  const coordinator = await coordinatorOn()
  const { id: run } = await coordinator.createRun(runRequest({ cohort: { ...THREE, clients: 2 } }))
  const [north, south] = await joinAll(coordinator, "north", "south")
  const task = await north!.task(run)
  const [stranger] = await joinAll(coordinator, "stranger")
  const told: string[] = []
  coordinator.on("clientDeclined", ({ client }) => told.push(client))
  await stranger!.decline({ runId: run, round: 1, code, reason: "" })
  await north!.decline({ runId: run, round: 2, code, reason: "" })
  await north!.decline({ runId: "no-such-run", round: 1, code, reason: "" })
  const { members } = await coordinator.round(run, 1)
  expect(members.map(({ status }) => status)).toEqual(["waiting", "waiting"])
  expect(told).toEqual([]) // nor does the log
  expect((await north!.submit(task)).status).toBe("ACCEPTED")
  const published = nextEvent(coordinator, "roundPublished")
  await south!.decline({ runId: run, round: 1, code, reason: "" })
  expect((await published).report.updates).toBe(1)
  expect((await coordinator.round(run, 1)).members.map(({ status }) => status).toSorted()).toEqual([
    "accepted",
    "failed",
  ])
})
