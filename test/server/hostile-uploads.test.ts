import { readdirSync, rmSync } from "node:fs"
import { join } from "node:path"

import type { RecipeInput } from "@lamina/protocol/recipe"

import { clientOf, closeAll, coordinatorOn, emptyFolder, nextEvent, runRequest } from "./federation.js"
import { refusal } from "./protocol-client.js"

afterEach(closeAll)

/** Updates of some 260 KB: files, not rows. */
const LARGE = [{ name: "layers.0.q_proj", outFeatures: 8_000, inFeatures: 8_000 }]

async function oneRound(
  modules: typeof LARGE | undefined,
  dataDir = emptyFolder(),
  changes: Partial<RecipeInput> = {},
) {
  const coordinator = await coordinatorOn(dataDir)
  const request = runRequest({ rounds: 1, ...changes })
  const { id: run } = await coordinator.createRun(modules ? { ...request, modules } : request)
  const [north, south] = [await clientOf(coordinator, "north").open(), await clientOf(coordinator, "south").open()]
  return { coordinator, run, north, south, dataDir }
}

test.each([
  ["a row", undefined],
  ["a file", LARGE],
])("an envelope in %s that is being committed cannot be replaced by another", async (_, modules) => {
  const { coordinator, run, north, south } = await oneRound(modules)
  const published = nextEvent(coordinator, "roundPublished")
  const task = await north.task(run)
  const [first, second] = [north.seal(task, { fill: 1 }), north.seal(task, { fill: 2 })]
  const { uploadId } = await north.openUpload(task, first)
  await north.putAll(uploadId, first)
  const answers = await Promise.allSettled([
    north.commit(uploadId, first.root),
    ...Array.from({ length: 5 }, () => north.openUpload(task, second)),
  ])
  expect(answers[0]).toMatchObject({ status: "fulfilled", value: { status: "ACCEPTED" } })
  for (const answer of answers.slice(1)) expect(answer.status).toBe("rejected")
  expect(await refusal(north.openUpload(task, second))).toBe("UPLOAD_CONFLICT")
  await south.submit(await south.task(run))
  expect((await published).report).toMatchObject({ updates: 2 })
})

test("an envelope that is opened twice at once loses nothing", async () => {
  const { run, north } = await oneRound(LARGE)
  const task = await north.task(run)
  const sealed = north.seal(task)
  const [{ uploadId }] = await Promise.all([north.openUpload(task, sealed), north.openUpload(task, sealed)])
  await north.putAll(uploadId, sealed)
  expect((await north.commit(uploadId, sealed.root)).status).toBe("ACCEPTED")
})

test("an upload whose file a power cut took is sent again", async () => {
  const { coordinator, run, north, dataDir } = await oneRound(LARGE)
  const task = await north.task(run)
  const sealed = north.seal(task)
  await north.openUpload(task, sealed)
  await coordinator.close()
  const folder = join(dataDir, "uploads")
  for (const name of readdirSync(folder)) rmSync(join(folder, name))
  const again = await coordinatorOn(dataDir)
  const back = await clientOf(again, "north", north.identity).open()
  expect((await back.submit(task, sealed)).status).toBe("ACCEPTED")
})

test("a client whose download budget holds no view of the global adapter sits out, the others go on", async () => {
  const coordinator = await coordinatorOn()
  const cohort = { clients: 3, quorum: 0.5, softDeadlineMs: 60_000, hardDeadlineMs: 90_000 }
  const { id: run } = await coordinator.createRun(runRequest({ strategy: "fedit", rounds: 2, cohort }))
  const clients = [
    await clientOf(coordinator, "north").open(),
    await clientOf(coordinator, "south").open({ capability: { downloadBytesMax: 1 } }),
    await clientOf(coordinator, "west").open(),
  ]
  const opened = nextEvent(coordinator, "roundOpened", ({ round }) => round === 2)
  for (const client of clients) await client.submit(await client.task(run))
  expect([...(await opened).clients].sort()).toEqual(["north", "west"])
})

test("a socket opens one session: a second attempt is refused, and the token stays that of the first", async () => {
  const { north } = await oneRound(undefined)
  const before = north.token
  const status = async (token: string): Promise<number> => {
    north.token = token
    return (await north.putChunk("0".repeat(32), 0, new Uint8Array(1))).status
  }
  expect(await refusal(north.open())).toBe("SESSION_REJECTED")
  expect(await status(before)).toBe(404)
  expect(await status("f".repeat(64))).toBe(401)
})
