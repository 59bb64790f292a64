import { clientOf, closeAll, coordinatorOn, emptyFolder, joinAll, nextEvent, runRequest } from "./federation.js"
import { refusal } from "./protocol-client.js"

afterEach(closeAll)

/** The shortest deadlines a recipe may have. */
const SHORT = { clients: 2, quorum: 0.5, softDeadlineMs: 1_000, hardDeadlineMs: 1_000 }

test("a round whose quorum is in seals at its soft deadline, and who commits afterwards is told LATE", async () => {
  const coordinator = await coordinatorOn()
  const { id: run } = await coordinator.createRun(runRequest({ cohort: { ...SHORT, hardDeadlineMs: 60_000 } }))
  const [north, south] = await joinAll(coordinator, "north", "south")
  const published = nextEvent(coordinator, "roundPublished")
  const [task, late] = [await north!.task(run), await south!.task(run)]
  const sealed = south!.seal(late)
  const { uploadId } = await south!.openUpload(late, sealed)
  await south!.putAll(uploadId, sealed)
  expect((await north!.submit(task)).status).toBe("ACCEPTED")
  expect((await published).report.updates).toBe(1)
  expect(await south!.commit(uploadId, sealed.root)).toMatchObject({
    status: "LATE",
    sequence: 0,
    code: 0,
    roundHeaderHash: late.headerHash,
  })
  expect(await refusal(south!.openUpload(late, south!.seal(late)))).toBe("ROUND_CLOSED")
  // the accepted client still gets its answer again
  expect(coordinator.run(run).rounds[0]).toMatchObject({ state: "published", accepted: 1 })
})

test("a round without its quorum is abandoned, tried again under the next number, and then the run fails", async () => {
  const coordinator = await coordinatorOn(emptyFolder(), { patienceMs: 0 })
  const { id: run } = await coordinator.createRun(runRequest({ cohort: { ...SHORT, quorum: 1 } }))
  const abandoned: unknown[] = []
  coordinator.on("roundAbandoned", (event) => abandoned.push(event))
  const ended = nextEvent(coordinator, "runEnded")
  const [north, south] = await joinAll(coordinator, "north", "south")
  const task = await north!.task(run)
  const sealed = north!.seal(task)
  expect((await north!.submit(task, sealed)).status).toBe("ACCEPTED")
  const second = await south!.task(run, 1)
  expect(second.header).toMatchObject({ round: 2, previousHeaderHash: task.headerHash })
  // accepted in round 1 counts for nothing in round 2: its envelope is bound to round 1
  expect(await refusal(north!.openUpload(second, sealed))).toBe("ROUND_MISMATCH")
  expect(await north!.submit(task, sealed)).toMatchObject({ status: "DUPLICATE", sequence: 1 })
  expect(await ended).toEqual({ runId: run, state: "failed", reason: "quorum-missed" })
  expect(abandoned).toEqual([1, 2].map((round) => ({ runId: run, round, reason: "quorum-missed" })))
  expect(coordinator.run(run)).toMatchObject({ state: "failed", reason: "quorum-missed" })
  expect((await north!.next(run)).ended).toMatchObject({ state: "failed", globalAdapterHash: new Uint8Array(0) })
})

test("an upload that was open when its round was abandoned is told CLOSED at its commit", async () => {
  const coordinator = await coordinatorOn(emptyFolder(), { patienceMs: 0 })
  const { id: run } = await coordinator.createRun(runRequest({ cohort: SHORT }))
  const [north] = await joinAll(coordinator, "north", "south")
  const abandoned = nextEvent(coordinator, "roundAbandoned")
  const task = await north!.task(run)
  const sealed = north!.seal(task)
  const { uploadId } = await north!.openUpload(task, sealed)
  await north!.putAll(uploadId, sealed)
  await abandoned
  expect(await north!.commit(uploadId, sealed.root)).toMatchObject({ status: "CLOSED", sequence: 0 })
  expect((await north!.putChunk(uploadId, 0, sealed.envelope)).status).toBe(409)
})

test("the next round starts from the global adapter so far, and cancelling abandons it", async () => {
  const coordinator = await coordinatorOn()
  const { id: run } = await coordinator.createRun(runRequest({ rounds: 2 }))
  const [north, south] = await joinAll(coordinator, "north", "south")
  const published = nextEvent(coordinator, "roundPublished")
  for (const client of [north!, south!]) await client.submit(await client.task(run))
  const { adapterHash } = await published
  const task = await north!.task(run, 1)
  expect(Buffer.from(task.header.globalAdapterHash).toString("hex")).toBe(adapterHash)
  const ended = nextEvent(coordinator, "runEnded")
  await coordinator.cancelRun(run)
  expect(await ended).toEqual({ runId: run, state: "cancelled", reason: "cancelled" })
  expect(coordinator.run(run).rounds[1]).toMatchObject({ round: 2, state: "abandoned", reason: "cancelled" })
  expect(coordinator.run(run).globalAdapterHash).toBe(adapterHash)
  expect(await refusal(north!.openUpload(task, north!.seal(task)))).toBe("ROUND_CLOSED")
  await expect(coordinator.cancelRun(run)).rejects.toMatchObject({ code: "RUN_STATE" })
})

test("a later round opens with a quorum once its patience is over", async () => {
  const coordinator = await coordinatorOn(emptyFolder(), { patienceMs: 100 })
  const { id: run } = await coordinator.createRun(runRequest({ rounds: 2 }))
  const [north, south] = await joinAll(coordinator, "north", "south")
  const [northTask, southTask] = [await north!.task(run), await south!.task(run)]
  await south!.submit(southTask)
  const left = nextEvent(coordinator, "clientLeft")
  south!.close()
  await left
  const opened = nextEvent(coordinator, "roundOpened", ({ round }) => round === 2)
  await north!.submit(northTask)
  expect((await opened).clients).toEqual(["north"])
  const ended = nextEvent(coordinator, "runEnded")
  expect((await north!.submit(await north!.task(run, 1))).status).toBe("ACCEPTED")
  expect((await ended).state).toBe("done")
})

test("fedit gives a cohort one rank, the lowest, and averages", async () => {
  const coordinator = await coordinatorOn()
  const { id: run } = await coordinator.createRun(runRequest({ strategy: "fedit", lora: { rank: 4 } }))
  const north = await clientOf(coordinator, "north").open({ capability: { rankMax: 2 } })
  const south = await clientOf(coordinator, "south").open()
  const published = nextEvent(coordinator, "roundPublished")
  for (const [client, fill] of [
    [north, 1],
    [south, 3],
  ] as const) {
    const task = await client.task(run)
    expect(task.plan.modules.map(({ rank }) => rank)).toEqual([2, 2])
    await client.submit(task, client.seal(task, { fill, weight: 10 }))
  }
  // A is all 1 and all 3, mean 2, all rows alike and B likewise in ratio: the mean of products (1·2 + 3·6)/2 = 10
  // against 2·4 = 8
  const { report } = await published
  expect(report).toMatchObject({ updates: 2, stackedRank: 2 })
  expect(report.strategyError).toBeCloseTo(0.2, 6)
})

test("more clients than wanted: the cohort is drawn by name, the same whatever their keys", async () => {
  const drawn: (readonly string[])[] = []
  for (let again = 0; again < 2; again++) {
    const coordinator = await coordinatorOn()
    const opened = nextEvent(coordinator, "roundOpened")
    await joinAll(coordinator, "a", "b", "c", "d", "e")
    await coordinator.createRun(runRequest({ seed: 3 }))
    drawn.push((await opened).clients)
  }
  expect(drawn[0]).toHaveLength(2)
  expect(drawn[1]).toEqual(drawn[0])
})
