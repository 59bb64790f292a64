import { execFileSync } from "node:child_process"
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { LaminaClient } from "@lamina/client"
import { decodeAdapter } from "@lamina/protocol"
import { startCoordinator } from "@lamina/server"

import { deterministicTrainer } from "./deterministic-trainer.mjs"
import { Gate, startClientProcess, startCoordinatorProcess } from "./processes.js"
import type { Coordinator, LineProcess } from "./processes.js"

/**
 * Production clients against the production coordinator; processes are killed with SIGKILL. Only the trainer is not
 * the default one.
 */
const opened: (() => unknown)[] = []
let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "lamina-federation-"))
  await mkdir(join(folder, "base"))
  await writeFile(join(folder, "base", "config.json"), `{"hidden_size": 2048}`)
  await writeFile(join(folder, "base", "model.safetensors"), Buffer.alloc(90_000, 7))
})
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close()
  await rm(folder, { recursive: true, force: true })
})

// rank 64 on two layers of 2048 x 2048: 2 x 2 x 64 x 2048 x 4 bytes = 2 MiB, an envelope of 9 chunks
const MODULES = ["q_proj", "v_proj"].map((name) => {
  return { name: `model.layers.0.self_attn.${name}`, outFeatures: 2048, inFeatures: 2048 }
})
const recipe = (changes: object = {}) => ({
  ...{ name: "test", base: ".", rounds: 1, lora: { rank: 64 }, training: { steps: 3 } },
  cohort: { clients: 1, quorum: 1, softDeadlineMs: 60_000, hardDeadlineMs: 90_000 },
  ...changes,
})

const runRequest = (changes: object = {}) => ({
  recipe: recipe(changes) as never,
  base: { folder: join(folder, "base") },
  modules: MODULES,
})

const places = (name: string) => ({ name, workDir: join(folder, name), cacheDir: join(folder, "cache") })

async function createRun({ url, adminToken }: Coordinator, changes: object = {}): Promise<string> {
  const headers = { authorization: `Bearer ${adminToken}`, "content-type": "application/json" }
  const answer = await fetch(`${url}/v1/runs`, { method: "POST", headers, body: JSON.stringify(runRequest(changes)) })
  const run = (await answer.json()) as { id: string }
  if (answer.status !== 201) throw new Error(JSON.stringify(run))
  return run.id
}

async function runOf(
  { url }: Coordinator,
  id: string,
): Promise<{ state: string; rounds: { accepted: number; cohort: number }[] }> {
  return (await (await fetch(`${url}/v1/runs/${id}`)).json()) as never
}

/** A client process that is killed with the test. */
function clientProcess(options: object, limits?: { fileBlocks: number }): LineProcess {
  const started = startClientProcess(options, limits)
  opened.push(() => started.kill())
  return started
}

async function coordinatorProcess(port = 0): Promise<Coordinator> {
  const coordinator = await startCoordinatorProcess(join(folder, "coordinator"), port)
  opened.push(() => coordinator.process.kill())
  return coordinator
}

test("three clients train two rounds; each update counts once, and each file of the base is loaded once", async () => {
  const coordinator = await startCoordinator({
    dataDir: join(folder, "coordinator"),
    port: 0,
    logLevel: "silent",
    tickMs: 20,
  })
  opened.push(() => coordinator.close())
  const cohort = { clients: 3, quorum: 1, softDeadlineMs: 60_000, hardDeadlineMs: 90_000 }
  const { id } = await coordinator.createRun(runRequest({ rounds: 2, cohort }))
  let baseBytes = 0
  const results = await Promise.all(
    ["ada", "bob", "eve"].map((name, i) => {
      const trainer = deterministicTrainer({ dataTokens: 100 * (i + 1) })
      const client = new LaminaClient({
        coordinator: coordinator.url,
        data: { kind: "documents", documents: [name] },
        trainer,
        ...places(name),
      })
      client.on(
        "fetching",
        ({ what, bytes, bytesTotal }) => (baseBytes += what === "base" && bytes === bytesTotal ? bytes : 0),
      )
      return client.participate()
    }),
  )
  for (const result of results) {
    expect(result).toMatchObject({ reason: "run-ended", runId: id, state: "done" })
    expect(result.rounds.map(({ round, outcome }) => [round, outcome])).toEqual([
      [1, "accepted"],
      [2, "accepted"],
    ])
  }
  const run = coordinator.run(id)
  expect(run.rounds.map(({ accepted, cohort: size }) => [accepted, size])).toEqual([
    [3, 3],
    [3, 3],
  ])
  expect(run.weights).toEqual({ ada: 100, bob: 200, eve: 300 })
  // config.json of 21 bytes and 90,000 bytes of weights: one client loads, the other two find it
  expect(baseBytes).toBe(21 + 90_000)
  const last = results[0]?.globalAdapterHash ?? ""
  expect(decodeAdapter(await coordinator.adapter(last)).modules.map(({ name }) => name)).toEqual(
    MODULES.map(({ name }) => name),
  )
  // round 2 began with the adapter of round 1, which every client needed and only one loaded
  expect(await readdir(join(folder, "cache", "adapters"))).toEqual([run.rounds[0]?.adapterHash])
}, 60_000)

test("a client killed in the middle of an upload sends the same bytes again, and only the missing ones", async () => {
  const coordinator = await coordinatorProcess()
  const id = await createRun(coordinator)
  // of 2 MiB with four chunks in flight, at least one chunk is answered before the fifth is sent: some are durable,
  // some are not
  const gate = await new Gate(coordinator, 1_500_000).start()
  opened.push(() => gate.close())
  const first = clientProcess({ coordinator: gate.url, ...places("ada") })
  const sealed = await first.line(({ event }) => event === "sealed")
  await gate.held
  await first.kill()
  expect(first.all("receipt")).toEqual([])
  gate.open()
  const second = clientProcess({ coordinator: gate.url, ...places("ada") })
  const uploaded = await second.line(({ event }) => event === "uploaded")
  expect(await second.line(({ event }) => event === "receipt")).toMatchObject({ status: "ACCEPTED", round: 1 })
  expect(uploaded.envelopeRoot).toBe(sealed.envelopeRoot)
  expect(Number(uploaded.bytesSent)).toBeLessThan(Number(uploaded.bytes))
  expect([...second.all("train"), ...second.all("sealed")]).toEqual([])
  expect(await second.line(({ event }) => event === "result")).toMatchObject({ reason: "run-ended", state: "done" })
  expect((await runOf(coordinator, id)).rounds).toMatchObject([{ accepted: 1, cohort: 1 }])
}, 60_000)

test("a client killed again and again, anywhere in its upload, never makes a second envelope", async () => {
  const coordinator = await coordinatorProcess()
  const id = await createRun(coordinator)
  const roots = new Set<unknown>()
  const envelopes: number[] = []
  // byte counts over all connections of a try, from a fixed seed: in the handshake, before the first chunk, in any
  // chunk
  let seed = 20_241
  for (let kill = 0; kill < 6; kill++) {
    seed = (seed * 48_271) % 2_147_483_647
    const gate = await new Gate(coordinator, 200 + (seed % 400_000)).start()
    opened.push(() => gate.close())
    const client = clientProcess({ coordinator: gate.url, ...places("ada") })
    // the tries before may have left less than this to send
    await Promise.race([gate.held, client.line(({ event }) => event === "result")])
    await client.kill()
    gate.close()
    for (const { envelopeRoot } of client.all("sealed")) roots.add(envelopeRoot)
    envelopes.push(client.all("sealed").length)
  }
  const last = clientProcess({ coordinator: coordinator.url, ...places("ada") })
  expect(await last.line(({ event }) => event === "result")).toMatchObject({ state: "done" })
  for (const { envelopeRoot } of last.all("uploaded")) roots.add(envelopeRoot)
  expect(roots.size).toBe(1)
  expect(envelopes.reduce((sum, count) => sum + count, 0)).toBe(1)
  expect((await runOf(coordinator, id)).rounds).toMatchObject([{ accepted: 1, cohort: 1 }])
}, 90_000)

test("a client killed while it trains goes on from its checkpoint and submits once", async () => {
  const coordinator = await coordinatorProcess()
  const id = await createRun(coordinator, { training: { steps: 40 } })
  const options = { coordinator: coordinator.url, stepMs: 25, ...places("ada") }
  const first = clientProcess(options)
  await first.line(({ event, step }) => event === "progress" && step === 8)
  await first.kill()
  const reached = Number(first.all("progress").at(-1)?.step)
  const second = clientProcess(options)
  expect(await second.line(({ event }) => event === "result")).toMatchObject({
    state: "done",
    rounds: [{ round: 1, outcome: "accepted" }],
  })
  const [resumed] = second.all("train")
  // the step that ran when the kill came may or may not have reached its checkpoint
  expect([reached, reached + 1]).toContain(resumed?.step)
  expect((await runOf(coordinator, id)).rounds).toMatchObject([{ accepted: 1, cohort: 1 }])
}, 60_000)

test("a coordinator killed in the middle of an upload gets the rest when it is back", async () => {
  const coordinator = await coordinatorProcess()
  const id = await createRun(coordinator)
  const gate = await new Gate(coordinator, 1_500_000).start()
  opened.push(() => gate.close())
  const client = clientProcess({ coordinator: gate.url, ...places("ada") })
  await gate.held
  await coordinator.process.kill()
  gate.open()
  await client.line(({ event }) => event === "reconnecting")
  const again = await coordinatorProcess(coordinator.port)
  expect(await client.line(({ event }) => event === "receipt")).toMatchObject({ status: "ACCEPTED", round: 1 })
  expect(await client.line(({ event }) => event === "result")).toMatchObject({ state: "done" })
  expect(client.all("sealed")).toHaveLength(1)
  expect((await runOf(again, id)).rounds).toMatchObject([{ accepted: 1, cohort: 1 }])
}, 60_000)

const canRaise = ((): boolean => {
  try {
    execFileSync("prlimit", ["--version"])
    return process.platform === "linux"
  } catch {
    return false
  }
})()

// needs util-linux' prlimit: the limit of a running process is raised from outside
const testWithLimits = canRaise ? test : test.skip

testWithLimits(
  "a disk that is full while sealing leaves nothing half-written, and the round is sealed once there is room",
  async () => {
    const coordinator = await coordinatorProcess()
    const id = await createRun(coordinator)
    // no file over 300 KiB: the base fits, the envelope of 2 MiB gets EFBIG from the system after 300 KiB
    const client = clientProcess({ coordinator: coordinator.url, ...places("ada") }, { fileBlocks: 300 })
    expect(await client.line(({ event }) => event === "retrying")).toMatchObject({ what: "seal", code: "STORAGE_FULL" })
    const [state] = (await readdir(join(folder, "ada"))).filter((name) => /^[0-9a-f]{32}$/.test(name))
    const round = join(folder, "ada", state ?? "", "rounds", `${id}.1`)
    expect((await readdir(round)).filter((name) => name === "envelope")).toEqual([])
    execFileSync("prlimit", ["--pid", String(client.child.pid), "--fsize=unlimited"])
    expect(await client.line(({ event }) => event === "result")).toMatchObject({
      state: "done",
      rounds: [{ outcome: "accepted" }],
    })
    expect(client.all("train")).toHaveLength(1)
    expect(client.all("sealed")).toHaveLength(1)
  },
  60_000,
)

testWithLimits(
  "a disk that stays full past the deadline costs the round, not the client",
  async () => {
    const coordinator = await coordinatorProcess()
    await createRun(coordinator, { cohort: { clients: 1, quorum: 1, softDeadlineMs: 4_000, hardDeadlineMs: 4_000 } })
    const client = clientProcess({ coordinator: coordinator.url, ...places("ada") }, { fileBlocks: 300 })
    const result = await client.line(({ event }) => event === "result")
    // the round is abandoned and tried once more, then the run has failed: the client hears it like anybody. On a busy
    // machine the second round may be over before the client has asked for it.
    expect(result).toMatchObject({ state: "failed" })
    const rounds = result["rounds"] as { outcome: string; code: string }[]
    expect([1, 2]).toContain(rounds.length)
    for (const round of rounds) expect(round).toMatchObject({ outcome: "failed", code: "STORAGE_FULL" })
  },
  60_000,
)

test.each([undefined, "another token"])(
  "a client with the join token %s is told what it lacks and how to give it",
  async (joinToken) => {
    const dataDir = join(folder, "coordinator")
    const coordinator = await startCoordinator({ dataDir, port: 0, logLevel: "silent", joinToken: "open sesame" })
    opened.push(() => coordinator.close())
    const data = { kind: "documents", documents: ["ada"] } as const
    const trainer = deterministicTrainer()
    const client = new LaminaClient({ coordinator: coordinator.url, data, trainer, joinToken, ...places("ada") })
    await expect(client.participate()).rejects.toMatchObject({
      code: "SESSION_REJECTED",
      message: expect.stringContaining(
        `join token of this coordinator, got ${joinToken ? "another" : "none"}`,
      ) as string,
      hint: expect.stringMatching(/--join-token, LAMINA_JOIN_TOKEN or joinToken$/) as string,
    })
  },
)
