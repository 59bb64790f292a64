import { spawn } from "node:child_process"
import type { ChildProcess } from "node:child_process"
import { existsSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

import { generateIdentity } from "@lamina/crypto"
import type { Identity } from "@lamina/crypto"

import { clientOf, closeAll, coordinatorOn, emptyFolder, joinAll, nextEvent, runRequest } from "./federation.js"
import { ProtocolClient, chunkOf, refusal } from "./protocol-client.js"

const script = fileURLToPath(new URL("./coordinator-process.mjs", import.meta.url))
const children: ChildProcess[] = []

afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL")
  await closeAll()
})

interface Child {
  readonly url: string
  readonly adminToken: string
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>
}

/** With `fileKib` no file of that process may grow beyond it: writes fail as they do on a full disk. */
async function coordinatorProcess(dataDir: string, { fileKib }: { fileKib?: number } = {}): Promise<Child> {
  const limit = fileKib === undefined ? "" : `ulimit -f ${fileKib}; `
  const command = `${limit}exec "$0" "$1" "$2"`
  const child = spawn("bash", ["-c", command, process.execPath, script, dataDir], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, NODE_OPTIONS: "" },
  })
  children.push(child)
  const line = await new Promise<string>((resolve, reject) => {
    child.stdout.once("data", (data: Buffer) => resolve(data.toString()))
    child.once("exit", (status) => reject(new Error(`the coordinator ended with status ${status}`)))
  })
  const closed = new Promise<void>((resolve) => child.once("close", () => resolve()))
  const kill = () => {
    child.kill("SIGKILL")
    return closed
  }
  return { ...(JSON.parse(line) as { url: string; adminToken: string }), kill }
}

async function createRun({ url, adminToken }: Child, request = runRequest()): Promise<string> {
  const response = await fetch(`${url}/v1/runs`, {
    method: "POST",
    headers: { authorization: `Bearer ${adminToken}`, "content-type": "application/json" },
    body: JSON.stringify(request),
  })
  return ((await response.json()) as { id: string }).id
}

/** The same client, by key and name, on another coordinator process. */
const again = (client: ProtocolClient, { url }: { url: string }) =>
  clientOf({ url }, client.name, client.identity).open()

test("everything acknowledged before a SIGKILL is there after it, and the round goes on", async () => {
  const dataDir = emptyFolder()
  const modules = { lora: { rank: 2 }, rounds: 2 }
  const first = await coordinatorProcess(dataDir)
  const run = await createRun(first, runRequest(modules))
  const [north, south] = await joinAll(first, "north", "south")
  const [task, other] = [await north!.task(run), await south!.task(run)]
  const sealed = { north: north!.seal(task), south: south!.seal(other) }
  const receipt = await north!.submit(task, sealed.north)
  const { uploadId } = await south!.openUpload(other, sealed.south)
  expect((await south!.putChunk(uploadId, 0, chunkOf(sealed.south.envelope, 0))).status).toBe(204)
  await first.kill()

  const coordinator = await coordinatorOn(dataDir)
  expect(coordinator.run(run)).toMatchObject({ state: "active", weights: { north: 10 } })
  expect(coordinator.run(run).rounds).toMatchObject([{ round: 1, state: "collecting", cohort: 2, accepted: 1 }])
  const [northAgain, southAgain] = [await again(north!, coordinator), await again(south!, coordinator)]
  // north answered: it gets no task; asked again it hears the same receipt
  expect((await northAgain.next(run)).wait).toBeDefined()
  expect(await northAgain.submit(task, sealed.north)).toMatchObject({ status: "DUPLICATE", sequence: receipt.sequence })
  // south gets the very same offer, and its durable chunk counts
  const offered = await southAgain.task(run)
  expect(Buffer.compare(offered.offer.header, other.offer.header)).toBe(0)
  expect(Buffer.compare(offered.offer.planSignature, other.offer.planSignature)).toBe(0)
  const ticket = await southAgain.openUpload(offered, sealed.south)
  expect([ticket.uploadId, ...ticket.have]).toEqual([uploadId, 1])
  const published = nextEvent(coordinator, "roundPublished")
  expect(await southAgain.commit(uploadId, sealed.south.root)).toMatchObject({
    status: "ACCEPTED",
    sequence: receipt.sequence + 1,
  })
  expect((await published).report.updates).toBe(2)
  expect((await northAgain.task(run, 1)).header.previousHeaderHash).toEqual(task.headerHash)
})

test("deadlines are absolute: a coordinator that was away past them seals when it comes back", async () => {
  const dataDir = emptyFolder()
  const first = await coordinatorProcess(dataDir)
  const run = await createRun(
    first,
    runRequest({
      cohort: { clients: 2, quorum: 0.5, softDeadlineMs: 1_500, hardDeadlineMs: 60_000 },
    }),
  )
  const [north] = await joinAll(first, "north", "south")
  const task = await north!.task(run)
  expect((await north!.submit(task)).status).toBe("ACCEPTED")
  await first.kill()
  const waitMs = task.header.softDeadlineMs - Date.now()
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, waitMs))) // the deadline itself is what is waited for

  const coordinator = await coordinatorOn(dataDir)
  if (coordinator.run(run).state === "active") await nextEvent(coordinator, "runEnded")
  expect(coordinator.run(run)).toMatchObject({ state: "done", rounds: [{ state: "published", accepted: 1 }] })
})

test("a coordinator killed at random moments of a run of many rounds loses nothing it acknowledged", async () => {
  const dataDir = emptyFolder()
  const rounds = 4
  const identities = new Map<string, Identity>(["north", "south"].map((name) => [name, generateIdentity()]))
  /** Receipts by client and round: an acknowledgement is never taken back. */
  const told = new Map<string, number>()
  let child = await coordinatorProcess(dataDir)
  const run = await createRun(
    child,
    runRequest({
      rounds,
      cohort: { clients: 2, quorum: 1, softDeadlineMs: 60_000, hardDeadlineMs: 60_000 },
    }),
  )
  let done = false
  for (let kill = 0; !done && kill < 40; kill++) {
    const { url } = child
    const clients = [...identities].map(([name, identity]) => new ProtocolClient(url, { name, identity }))
    // kills fall 300, 400, 500, ... ms after the clients began: in the end a life is long enough for the rest
    const timer = setTimeout(() => void child.kill(), 300 + kill * 100)
    const ends = await Promise.allSettled(clients.map((client) => takePart(client, run, told)))
    clearTimeout(timer)
    for (const client of clients) client.close()
    await child.kill()
    done = ends.every((end) => end.status === "fulfilled")
    child = await coordinatorProcess(dataDir)
  }
  await child.kill()
  expect(done).toBe(true)
  const coordinator = await coordinatorOn(dataDir)
  expect(coordinator.run(run)).toMatchObject({ state: "done" })
  expect(coordinator.run(run).rounds).toMatchObject(
    Array.from({ length: rounds }, (_, i) => ({ round: i + 1, state: "published", accepted: 2 })),
  )
  // every round counted each client once, and nothing of the uploads is left
  const sequences = [...told.values()]
  expect(new Set(sequences).size).toBe(sequences.length)
  expect(readdirSync(join(dataDir, "uploads"))).toEqual([])
}, 120_000)

/** Trains every round until the run is over; a receipt once told must be told again with its sequence. */
async function takePart(client: ProtocolClient, run: string, told: Map<string, number>): Promise<void> {
  const gone = client.closed.then(() => Promise.reject<never>(new Error("the coordinator is gone")))
  gone.catch(() => undefined)
  await Promise.race([gone, client.open()])
  for (let after = 0; ;) {
    const reply = await Promise.race([gone, client.next(run, after)])
    if (reply.ended) return
    if (!reply.task) {
      await Promise.race([gone, new Promise((resolve) => setTimeout(resolve, 5))])
      continue
    }
    const task = await Promise.race([gone, client.task(run, after)])
    const { status, sequence } = await Promise.race([gone, client.submit(task)])
    expect(["ACCEPTED", "DUPLICATE"]).toContain(status)
    const key = `${client.name} ${task.header.round}`
    expect(told.get(key) ?? sequence).toBe(sequence)
    told.set(key, sequence)
    after = task.header.round
  }
}

/** Rank 10 of 1000 x 1000, 80 kB: more than the 64 KiB up to which an envelope is a row of the database, one chunk. */
const wideRequest = () => ({
  ...runRequest({ lora: { rank: 10 } }),
  modules: [{ name: "wide", outFeatures: 1_000, inFeatures: 1_000 }],
})

test("files that no upload owns are removed at the start, and a chunk changed on disk is asked for again", async () => {
  const dataDir = emptyFolder()
  const first = await coordinatorOn(dataDir)
  const { id: run } = await first.createRun(wideRequest())
  const [north] = await joinAll(first, "north", "south")
  const task = await north!.task(run)
  const sealed = north!.seal(task)
  const { uploadId } = await north!.openUpload(task, sealed)
  await north!.putAll(uploadId, sealed)
  await first.close()
  const orphan = join(dataDir, "uploads", `${"0".repeat(32)}.part`)
  writeFileSync(orphan, "left by a crash")
  const spoilt = sealed.envelope.slice()
  spoilt[500]! ^= 1
  writeFileSync(join(dataDir, "uploads", `${uploadId}.part`), spoilt)

  const coordinator = await coordinatorOn(dataDir)
  expect(existsSync(orphan)).toBe(false)
  const back = await again(north!, coordinator)
  expect([...(await back.openUpload(task, sealed)).have]).toEqual([0])
  expect(await refusal(back.commit(uploadId, sealed.root))).toBe("UPLOAD_INCOMPLETE")
  expect((await back.submit(task, sealed)).status).toBe("ACCEPTED")
})

test("an envelope changed on disk after its last chunk is found at the commit and asked for again", async () => {
  const dataDir = emptyFolder()
  const coordinator = await coordinatorOn(dataDir)
  const { id: run } = await coordinator.createRun(wideRequest())
  const [north] = await joinAll(coordinator, "north", "south")
  const task = await north!.task(run)
  const sealed = north!.seal(task)
  const { uploadId } = await north!.openUpload(task, sealed)
  await north!.putAll(uploadId, sealed)
  const spoilt = sealed.envelope.slice()
  spoilt[spoilt.length - 1]! ^= 0x80
  writeFileSync(join(dataDir, "uploads", `${uploadId}.part`), spoilt)
  expect(await refusal(north!.commit(uploadId, sealed.root))).toBe("UPLOAD_INCOMPLETE")
  expect([...(await north!.openUpload(task, sealed)).have]).toEqual([0])
  expect((await north!.submit(task, sealed)).status).toBe("ACCEPTED")
})

test("a disk without room refuses an upload with STORAGE_FULL, and smaller ones go on", async () => {
  const child = await coordinatorProcess(emptyFolder(), { fileKib: 1_500 })
  const modules = [{ name: "wide", outFeatures: 1_000, inFeatures: 1_000 }]
  const request = { ...runRequest({ lora: { rank: 250 } }), modules }
  const run = await createRun(child, request)
  const big = await clientOf(child, "big").open()
  const small = await clientOf(child, "small").open({ capability: { rankMax: 10 } })
  const [bigTask, smallTask] = [await big.task(run), await small.task(run)]
  // rank 250: 4 · 250 · 2000 B = 2 MB, above 1.5 MB; rank 10: 80 kB
  expect(await refusal(big.submit(bigTask))).toBe("STORAGE_FULL")
  expect((await small.submit(smallTask)).status).toBe("ACCEPTED")
  expect(await refusal(big.submit(bigTask))).toBe("STORAGE_FULL")
})

test("closing twice is closing once, and a closed coordinator's folder holds no open log", async () => {
  const dataDir = emptyFolder()
  const coordinator = await coordinatorOn(dataDir)
  await coordinator.createRun(runRequest())
  await Promise.all([coordinator.close(), coordinator.close()])
  expect(existsSync(join(dataDir, "lamina.db-wal"))).toBe(false)
})
