import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"

import type { RunningCoordinator } from "@lamina/server"

import { clientOf, closeAll, coordinatorOn, emptyFolder, joinAll, nextEvent, runRequest } from "./federation.js"
import type { ProtocolClient, Task } from "./protocol-client.js"

afterEach(closeAll)

const SOFT_MS = 60_000
const HARD_MS = 90_000

/** Rounds of two updates, quorum one, and a clock that is moved by hand: nobody looks at it but who is told to. */
function federation(dataDir: string, { startMs = 1_000, patienceMs = SOFT_MS } = {}) {
  const clock = { ms: startMs }
  return { clock, coordinator: coordinatorOn(dataDir, { patienceMs }, { now: () => clock.ms }) }
}
const buffered = (changes: { clients: number; quorum?: number; rounds?: number }) => {
  const { clients, quorum = 0.5, rounds = 3 } = changes
  const cohort = { clients, quorum, buffer: { size: 2 }, softDeadlineMs: SOFT_MS, hardDeadlineMs: HARD_MS }
  return runRequest({ rounds, cohort })
}

/** The same client, by key and name, at another coordinator. */
const again = (client: ProtocolClient, coordinator: { url: string }) =>
  clientOf(coordinator, client.name, client.identity).open()

/** An envelope whose every chunk is there: one request is left, its commit. */
async function uploaded(client: ProtocolClient, task: Task) {
  const sealed = client.seal(task)
  const { uploadId } = await client.openUpload(task, sealed)
  await client.putAll(uploadId, sealed)
  return { uploadId, sealed, commit: (by = client) => by.commit(uploadId, sealed.root) }
}

/** Round 1 is published with the updates of the first two, who are in round 2; the others' are all but committed. */
async function atRoundTwo(coordinator: RunningCoordinator, run: string, clients: readonly ProtocolClient[]) {
  const tasks = await Promise.all(clients.map((client) => client.task(run)))
  const late = await Promise.all(clients.slice(2).map((client, i) => uploaded(client, tasks[i + 2]!)))
  const opened = nextEvent(coordinator, "roundOpened", ({ round }) => round === 2)
  for (const [i, client] of clients.slice(0, 2).entries()) await client.submit(tasks[i]!)
  expect((await opened).clients.toSorted()).toEqual(clients.slice(0, 2).map(({ name }) => name))
  return late
}

/** The round in which the update counts that this client trained for round 1. */
async function countedRound(coordinator: RunningCoordinator, run: string, client: string) {
  const { members } = await coordinator.round(run, 1)
  return members.find((member) => member.client === client)?.countedRound
}

test("an update that comes after the soft deadline of the open round, before any tick, counts next", async () => {
  const { clock, coordinator: starting } = federation(emptyFolder())
  const coordinator = await starting
  const { id: run } = await coordinator.createRun(buffered({ clients: 3 }))
  const [a, b, c] = await joinAll(coordinator, "a", "b", "c")
  const [late] = await atRoundTwo(coordinator, run, [a!, b!, c!])
  await a!.submit(await a!.task(run, 1))
  clock.ms += SOFT_MS
  const published = nextEvent(coordinator, "roundPublished", ({ round }) => round === 2)
  expect((await late!.commit()).status).toBe("ACCEPTED")
  expect((await published).report.updates).toBe(1)
  expect(await countedRound(coordinator, run, "c")).toBe(3)
  expect((await late!.commit()).status).toBe("DUPLICATE")
  // a is idle again and brings the second update of round 3
  const third = nextEvent(coordinator, "roundPublished", ({ round }) => round === 3)
  await a!.submit(await a!.task(run, 2))
  expect((await third).report.updates).toBe(2)
})

test("updates that find the open round abandoned, or none open, count in the one that comes after it", async () => {
  const dataDir = emptyFolder()
  const first = federation(dataDir)
  const before = await first.coordinator
  const { id: run } = await before.createRun(buffered({ clients: 4 }))
  const clients = await joinAll(before, "a", "b", "c", "d")
  const late = await atRoundTwo(before, run, clients)
  await before.close()

  const { clock, coordinator: starting } = federation(dataDir, {
    startMs: first.clock.ms,
    patienceMs: 2 * HARD_MS,
  })
  const coordinator = await starting
  const [c, d] = await Promise.all(clients.slice(2).map((client) => again(client, coordinator)))
  await d!.next(run) // by now the coordinator has looked at the clock because they came
  clock.ms += HARD_MS
  const abandoned = nextEvent(coordinator, "roundAbandoned")
  // the first of them ends round 2; the second is judged before round 3 is there: a and b are still to come back
  const receipts = [late[0]!.commit(c), late[1]!.commit(d)]
  expect(await abandoned).toEqual({ runId: run, round: 2, reason: "quorum-missed" })
  for (const client of clients.slice(0, 2)) await again(client, coordinator)
  expect((await Promise.all(receipts)).map(({ status }) => status)).toEqual(["ACCEPTED", "ACCEPTED"])
  expect(await countedRound(coordinator, run, "c")).toBe(3)
  expect(await countedRound(coordinator, run, "d")).toBe(3)
})

test("the clients of an abandoned round keep no later one from its cohort, and none after a restart", async () => {
  const dataDir = emptyFolder()
  const first = federation(dataDir)
  const before = await first.coordinator
  const { id: run } = await before.createRun(buffered({ clients: 2 }))
  for (const client of await joinAll(before, "a", "b")) {
    await client.task(run)
    const left = nextEvent(before, "clientLeft")
    client.close()
    await left
  }
  const clients = await joinAll(before, "c", "d")
  const second = nextEvent(before, "roundOpened")
  first.clock.ms += HARD_MS
  await before.tick()
  expect((await second).clients.toSorted()).toEqual(["c", "d"])
  await before.close()

  const coordinator = await federation(dataDir, { startMs: first.clock.ms }).coordinator
  const third = nextEvent(coordinator, "roundOpened")
  const back = await Promise.all(clients.map((client) => again(client, coordinator)))
  for (const client of back) await client.submit(await client.task(run))
  expect((await third).clients.toSorted()).toEqual(["c", "d"])
})

/** Rank 10 of 1000 x 1000, 80 kB: more than the 64 KiB up to which an envelope is a row of the database. */
const wide = (request: ReturnType<typeof runRequest>) => ({
  ...{ ...request, recipe: { ...(request.recipe as object), lora: { rank: 10, alphaPerRank: 2 } } as never },
  modules: [{ name: "wide", outFeatures: 1_000, inFeatures: 1_000 }],
})

/** Round 1 of a, b and c is sealed with a and b, and cannot be aggregated: the file of a is spoilt. */
async function unaggregated(dataDir: string) {
  const first = federation(dataDir)
  const before = await first.coordinator
  const { id: run } = await before.createRun(wide(buffered({ clients: 3 })))
  const joined = await joinAll(before, "a", "b", "c")
  const tasks = await Promise.all(joined.map((client) => client.task(run)))
  const [ofA, ofB, late] = await Promise.all(joined.map((client, i) => uploaded(client, tasks[i]!)))
  await ofA!.commit()
  await before.close()
  const file = join(dataDir, "uploads", `${ofA!.uploadId}.part`)
  const whole = readFileSync(file)
  writeFileSync(file, Buffer.alloc(whole.length))

  // one that was started since has nothing of the update in memory
  const { clock, coordinator: starting } = federation(dataDir, { startMs: first.clock.ms })
  const coordinator = await starting
  const clients = await Promise.all(joined.map((client) => again(client, coordinator)))
  const sealed = nextEvent(coordinator, "roundSealed")
  await ofB!.commit(clients[1])
  await sealed
  return { coordinator, clock, run, clients, late: late!, mend: () => writeFileSync(file, whole) }
}

test("a coordinator closes though an update waits for the next round, and the next one counts it", async () => {
  const dataDir = emptyFolder()
  const { coordinator, clock, clients, late, mend, run } = await unaggregated(dataDir)
  const unanswered = late.commit(clients[2]).then(
    () => "answered",
    () => "gone",
  )
  // questions that are answered after the update was looked into, one after another in one thread
  for (let i = 0; i < 20; i++) await clients[1]!.next(run)
  await coordinator.close()
  expect(await unanswered).toBe("gone")
  mend()
  const next = await federation(dataDir, { startMs: clock.ms }).coordinator
  const [, , c] = await Promise.all(clients.map((client) => again(client, next)))
  await next.tick() // round 1 is aggregated again
  expect((await late.commit(c)).status).toBe("ACCEPTED")
  expect(await countedRound(next, run, "c")).toBe(2)
})

test("after a restart the next round waits for its clients to come back", async () => {
  const dataDir = emptyFolder()
  const { coordinator, clients, mend, run } = await unaggregated(dataDir)
  await coordinator.close()
  mend()
  const next = await coordinatorOn(dataDir)
  const opened = nextEvent(next, "roundOpened")
  await nextEvent(next, "roundPublished")
  for (const client of clients.slice(0, 2)) await again(client, next)
  // c may still train for round 1
  expect((await opened).clients.toSorted()).toEqual(["a", "b"])
  expect(next.run(run).rounds).toHaveLength(2)
})

test("an update that waits for the next round is told CLOSED when its own is abandoned", async () => {
  const { coordinator, clients, late, run } = await unaggregated(emptyFolder())
  let reason: string | undefined
  coordinator.on("roundAbandoned", (event) => ({ reason } = event))
  const receipt = late.commit(clients[2])
  for (let i = 0; i < 20; i++) await clients[1]!.next(run)
  while (reason === undefined) {
    await coordinator.tick()
    await clients[1]!.next(run)
  }
  expect(reason).toBe("aggregation-failed")
  expect(await receipt).toMatchObject({ status: "CLOSED", sequence: 0 })
  expect((await clients[2]!.task(run, 1)).header.round).toBe(2)
})
