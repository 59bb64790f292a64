import { join } from "node:path"

import { startClientProcess } from "../client/processes.js"
import type { LineProcess } from "../client/processes.js"
import { closeAll, coordinatorOn, emptyFolder, joinAll, nextEvent, runRequest } from "./federation.js"
import type { ProtocolClient } from "./protocol-client.js"

const started: LineProcess[] = []
afterEach(async () => {
  for (const client of started.splice(0)) await client.kill()
  await closeAll()
})

const cohort = (stalenessMax: number) => ({
  ...{ clients: 2, buffer: { size: 1, stalenessMax }, quorum: 0.5 },
  ...{ softDeadlineMs: 600_000, hardDeadlineMs: 900_000 },
})

/** The production client in a process of its own: ten steps, each as long as `stepMs` says. */
function clientIn(folder: string, setting: { coordinator: string; stepMs: number }): LineProcess {
  const places = { name: "slow", workDir: join(folder, "slow"), cacheDir: join(folder, "cache") }
  const client = startClientProcess({ ...setting, ...places })
  started.push(client)
  return client
}

/** "slow" is killed at the second step of round 1, and "quick" takes the run on to round `last`. */
async function killedInRoundOne({ last, stalenessMax }: { last: number; stalenessMax: number }) {
  const folder = emptyFolder()
  const coordinator = await coordinatorOn()
  const { id: run } = await coordinator.createRun(
    runRequest({ rounds: 4, training: { steps: 10 }, cohort: cohort(stalenessMax) }),
  )
  const first = clientIn(folder, { coordinator: coordinator.url, stepMs: 300 })
  const quick = (await joinAll(coordinator, "quick"))[0] as ProtocolClient
  await first.line(({ event, step }) => event === "progress" && step === 2)
  await first.kill()
  for (let round = 1; round < last; round++) {
    const opened = nextEvent(coordinator, "roundOpened", (event) => event.round === round + 1)
    await quick.submit(await quick.task(run, round - 1))
    await opened
  }
  const again = () => clientIn(folder, { coordinator: coordinator.url, stepMs: 0 })
  return { coordinator, run, quick, again }
}

test("a client that is restarted while its round is over but carried ends it, then takes newer ones", async () => {
  const { coordinator, run, again } = await killedInRoundOne({ last: 3, stalenessMax: 8 })
  const second = again()
  expect(await second.line(({ event }) => event === "task")).toMatchObject({ round: 1 })
  // from its checkpoint: it was killed after it had told of step 2
  expect(Number((await second.line(({ event }) => event === "train")).step)).toBeGreaterThanOrEqual(2)
  expect(await second.line(({ event }) => event === "receipt")).toMatchObject({ round: 1, status: "ACCEPTED" })
  const { members } = await coordinator.round(run, 1)
  expect(members.find(({ client }) => client === "slow")).toMatchObject({ status: "accepted", countedRound: 3 })
  // its update fills the buffer of round 3; it is free again for the last one
  const ended = await second.line(({ event }) => event === "result")
  expect(ended).toMatchObject({ reason: "run-ended", state: "done" })
  expect((ended.rounds as { round: number; outcome: string }[]).map(({ round, outcome }) => [round, outcome])).toEqual([
    [1, "accepted"],
    [4, "accepted"],
  ])
}, 60_000)

test("a round whose updates would come too late is not offered again", async () => {
  const { coordinator, run, quick, again } = await killedInRoundOne({ last: 3, stalenessMax: 1 })
  const second = again()
  await second.line(({ event }) => event === "waiting")
  const opened = nextEvent(coordinator, "roundOpened", ({ round }) => round === 4)
  await quick.submit(await quick.task(run, 2))
  // 4 - 1 is more than 1: "slow" is idle again
  expect((await opened).clients.toSorted()).toEqual(["quick", "slow"])
  expect(await second.line(({ event }) => event === "task")).toMatchObject({ round: 4 })
}, 60_000)

test("who gave a round up in this process, or comes after its hard deadline, is not offered it again", async () => {
  const clock = { ms: 1_000 }
  const coordinator = await coordinatorOn(emptyFolder(), { patienceMs: 60_000 }, { now: () => clock.ms })
  const { id: run } = await coordinator.createRun(runRequest({ rounds: 3, cohort: cohort(8) }))
  const [quick, slow] = await joinAll(coordinator, "quick", "slow")
  const [task] = await Promise.all([quick!.task(run), slow!.task(run)])
  const opened = nextEvent(coordinator, "roundOpened", ({ round }) => round === 2)
  await quick!.submit(task)
  expect((await opened).clients).toEqual(["quick"])
  expect((await slow!.task(run)).header.round).toBe(1)
  expect((await slow!.next(run, 1)).wait).toBeDefined()
  clock.ms += 900_000
  expect((await slow!.next(run)).wait).toBeDefined()
})
