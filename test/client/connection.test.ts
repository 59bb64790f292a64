import { readdir } from "node:fs/promises"
import { createServer } from "node:net"
import type { AddressInfo } from "node:net"
import { once } from "node:events"
import { join } from "node:path"

import { LaminaClient, runAgent } from "@lamina/client"
import type { ClientEvents, LaminaClientOptions } from "@lamina/client"
import { identityFromSeed } from "@lamina/crypto"
import { ERRORS, LaminaError } from "@lamina/protocol"
import type { TaskOffer } from "@lamina/protocol"

import { deterministicTrainer } from "./deterministic-trainer.mjs"
import type { WireOptions, WireServer } from "./wire-server.js"
import { WireServers } from "./wire-servers.js"

/** What a client does when connections, sessions and transfers break, over real sockets. */
const wire = new WireServers("connection")
const serve = (options?: WireOptions): Promise<WireServer> => wire.serve(options)

function optionsOf(coordinator: string, more: Partial<LaminaClientOptions> = {}): LaminaClientOptions {
  let random = 7
  return {
    coordinator,
    identity: identityFromSeed(new Uint8Array(32).fill(9)),
    name: "tester",
    data: { kind: "documents", documents: ["a"] },
    workDir: join(wire.folder, "work"),
    cacheDir: join(wire.folder, "cache"),
    trainer: deterministicTrainer(),
    // retries within a few milliseconds, from a fixed sequence
    random: () => ((random = (random * 48_271) % 2_147_483_647) / 2_147_483_647) * 0.02,
    ...more,
  }
}

const clientOf = (coordinator: string, more?: Partial<LaminaClientOptions>): LaminaClient =>
  new LaminaClient(optionsOf(coordinator, more))

function next<K extends keyof ClientEvents>(client: LaminaClient, name: K): Promise<ClientEvents[K]> {
  return new Promise((resolve) => client.once(name, resolve))
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, "close")
  return port
}

test("nobody at the first connection is COORDINATOR_UNREACHABLE in time, with the system's reason", async () => {
  const port = await freePort()
  const client = clientOf(`http://127.0.0.1:${port}`, { firstConnectMs: 300 })
  const attempts: unknown[] = []
  client.on("reconnecting", (event) => attempts.push(event))
  await expect(client.participate()).rejects.toMatchObject({
    code: "COORDINATOR_UNREACHABLE",
    message: expect.stringContaining("ECONNREFUSED"),
  })
  expect(attempts.length).toBeGreaterThan(1)
})

test("a coordinator that comes late is met late, when the client was told to wait for ever", async () => {
  const port = await freePort()
  const client = clientOf(`http://127.0.0.1:${port}`, { firstConnectMs: Infinity })
  const running = client.participate()
  await next(client, "reconnecting")
  await serve({ port })
  expect(await running).toMatchObject({ reason: "run-ended", rounds: [{ outcome: "accepted" }] })
})

test("a session that the coordinator forgot is opened again, over the socket and over HTTP", async () => {
  let forgotten = 0
  const server = await serve({
    hooks: { refuse: (event) => (event === "round.next" && forgotten++ < 2 ? "SESSION_EXPIRED" : undefined) },
  })
  const client = clientOf(server.url)
  client.once("sealed", () => server.forgetTokens())
  expect((await client.participate()).rounds).toMatchObject([{ outcome: "accepted" }])
  // first session, one after each refusal over the socket, one after the 401 of the first chunk
  expect(server.requests.filter((request) => request === "session.open")).toHaveLength(4)
})

test.each(["upload.open", "upload.commit"])(
  "a connection cut at %s changes nothing but the time it takes",
  async (when) => {
    let cuts = 0
    const server: WireServer = await serve({
      hooks: {
        reply: (event) => {
          if (event === when && cuts++ < 3) server.cut()
          return undefined
        },
      },
    })
    expect((await clientOf(server.url).participate()).rounds).toMatchObject([{ round: 1 }])
    const [roots] = [...server.commits.values()]
    expect(cuts).toBeGreaterThanOrEqual(4)
    expect(new Set(roots).size).toBe(1)
  },
)

test("refusals that mean later are waited for: a busy, a full, a failing coordinator", async () => {
  const codes = ["RATE_LIMITED", "STORAGE_FULL", "INTERNAL"] as const
  const left = [...codes]
  const { url } = await serve({ hooks: { refuse: (event) => (event === "upload.open" ? left.shift() : undefined) } })
  const client = clientOf(url)
  const retried: string[] = []
  client.on("retrying", ({ error }) => retried.push(error.code))
  expect((await client.participate()).rounds).toMatchObject([{ outcome: "accepted" }])
  expect(retried).toEqual(codes)
})

test.each([
  ["ROUND_CLOSED", { outcome: "closed" }],
  ["NOT_SELECTED", { outcome: "not-selected" }],
  ["UPLOAD_CONFLICT", { outcome: "failed", code: "UPLOAD_CONFLICT" }],
  ["ENVELOPE_REJECTED", { outcome: "failed", code: "ENVELOPE_REJECTED" }],
] as const)("an upload refused with %s ends the round as a value; the next one is taken", async (code, outcome) => {
  const left = [code]
  const { url } = await serve({
    rounds: 2,
    hooks: { refuse: (event) => (event === "upload.open" ? left.shift() : undefined) },
  })
  expect((await clientOf(url).participate()).rounds).toMatchObject([outcome, { round: 2, outcome: "accepted" }])
})

test.each(["LATE", "CLOSED", "REJECTED"] as const)(
  "a receipt that says %s is an ordinary end of a round",
  async (status) => {
    const code = status === "REJECTED" ? 3009 : 0
    const { url } = await serve({ hooks: { receipt: (body) => ({ ...body, status, code }) } })
    const [round] = (await clientOf(url).participate()).rounds
    expect(round).toMatchObject({ outcome: status.toLowerCase() })
    expect(round?.code).toBe(status === "REJECTED" ? "UPDATE_NOT_FINITE" : undefined)
  },
)

test("a round in the journal is never trained or sent again, whatever the coordinator offers", async () => {
  const first = await serve()
  await clientOf(first.url).participate()
  const port = Number(new URL(first.url).port)
  await first.stop()
  // forgets what it had, and offers round 1 whatever it is asked after
  const stop = new AbortController()
  let offers = 0
  const second = await serve({
    port,
    hooks: {
      offer: (offer: TaskOffer) => {
        offers += 1
        return offer
      },
    },
  })
  const trainer = deterministicTrainer({ onTrain: () => stop.abort(new Error("trained again")) })
  const client = clientOf(second.url, { trainer })
  expect(await client.participate({ signal: stop.signal })).toMatchObject({ reason: "run-ended", rounds: [] })
  expect(offers).toBe(1)
  expect(second.commits.size).toBe(0)
})

test("a download cut half-way goes on from the byte it reached", async () => {
  const weights = Uint8Array.from({ length: 100_000 }, (_, i) => i % 251)
  let cut: (() => void) | undefined
  const { url, ranges } = await serve({
    hooks: {
      http: (request, response) => {
        if (!request.url?.startsWith("/v1/blobs/") || cut) return false
        response.writeHead(200, { "content-length": weights.length }).write(weights.subarray(0, 40_000))
        cut = () => response.destroy()
        return true
      },
    },
    base: { "model.safetensors": weights },
  })
  const client = clientOf(url)
  client.once("fetching", () => cut?.())
  const seen: number[] = []
  client.on("fetching", ({ bytes }) => seen.push(bytes))
  expect((await client.participate()).rounds).toMatchObject([{ outcome: "accepted" }])
  const [range] = ranges.filter(Boolean)
  const reached = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1])
  expect(reached).toBeGreaterThan(0)
  expect(seen).toContain(reached)
  expect(seen.at(-1)).toBe(100_000)
  expect(await readdir(join(wire.folder, "cache", "partial"))).toEqual([])
})

test("a local base is used where it is the run's, and refused with the file's name where it is not", async () => {
  const { mkdir, writeFile } = await import("node:fs/promises")
  const base = { "config.json": Buffer.from("{}") }
  await mkdir(join(wire.folder, "base"))
  await writeFile(join(wire.folder, "base", "config.json"), "{}")
  const { url, requests } = await serve({ base })
  const local = { base: join(wire.folder, "base") }
  expect((await clientOf(url, local).participate()).rounds).toMatchObject([{ outcome: "accepted" }])
  expect(requests.filter((request) => request.includes("/blobs/"))).toEqual([])
  await writeFile(join(wire.folder, "base", "config.json"), "[]")
  const other = await serve({ base: { ...base, "tokenizer.json": Buffer.from("{}") } })
  await expect(
    clientOf(other.url, { ...local, workDir: join(wire.folder, "second") }).participate(),
  ).rejects.toMatchObject({
    code: "BASE_MISMATCH",
    message: expect.stringContaining("config.json"),
  })
})

test("a hint wakes a waiting client long before it would ask by itself", async () => {
  let waits = 1
  const { messages } = await import("@lamina/protocol")
  const wait = messages.NextTaskReply.encode({ wait: { retryAfterMs: 3_600_000, reason: "nothing yet" } })
  const server = await serve({
    hooks: {
      reply: (event) => (event === "round.next" && waits-- > 0 ? messages.Reply.encode({ ok: wait }) : undefined),
    },
  })
  const client = clientOf(server.url)
  const running = client.participate()
  expect((await next(client, "waiting")).retryAfterMs).toBeGreaterThan(10_000)
  server.hint()
  expect((await running).rounds).toMatchObject([{ outcome: "accepted" }])
}, 9_000)

test("a client whose update was taken asks when it is hinted at, and not before", async () => {
  const server = await serve({ rounds: 3 })
  expect((await clientOf(server.url).participate()).rounds).toHaveLength(3)
  expect(server.requests.filter((request) => request === "round.next")).toHaveLength(4) // three tasks and the end
})

test("a socket that comes back counts as a hint: one may have been lost with it", async () => {
  const server = await serve({ rounds: 2 })
  server.hint = () => server.cut()
  const begunMs = performance.now()
  expect((await clientOf(server.url).participate()).rounds).toHaveLength(2)
  expect(performance.now() - begunMs).toBeLessThan(10_000) // by itself it would ask after 12 s at the earliest
})

test.each<[string, keyof ClientEvents]>([
  ["trains", "progress"],
  ["uploads", "uploading"],
  ["has just sealed", "sealed"],
])("an abort while it %s is an ordinary leave, and the next process finishes the round", async (_, event) => {
  const server = await serve({ plan: { steps: 20 } })
  const stop = new AbortController()
  const first = clientOf(server.url, { trainer: deterministicTrainer({ stepMs: 5 }) })
  first.once(event, () => stop.abort())
  expect(await first.participate({ signal: stop.signal })).toMatchObject({ reason: "left", rounds: [] })
  const second = clientOf(server.url, { trainer: deterministicTrainer({ stepMs: 5 }) })
  expect((await second.participate()).rounds).toMatchObject([{ round: 1 }])
  const [roots] = [...server.commits.values()]
  expect(new Set(roots).size).toBe(1)
})

test("an abort while it connects, and while it waits, ends it at once", async () => {
  const stop = new AbortController()
  const nobody = clientOf(`http://127.0.0.1:${await freePort()}`, { firstConnectMs: Infinity })
  nobody.once("reconnecting", () => stop.abort())
  expect(await nobody.participate({ signal: stop.signal })).toMatchObject({ reason: "left" })
  const { url } = await serve({ rounds: 0 })
  const waiting = clientOf(url)
  const leave = new AbortController()
  waiting.once("waiting", () => leave.abort())
  expect(await waiting.participate({ signal: leave.signal })).toMatchObject({ reason: "left", rounds: [] })
})

test("two clients cannot share a work folder, and one client cannot take part twice at a time", async () => {
  const { url } = await serve({ rounds: 0 })
  const stop = new AbortController()
  const first = clientOf(url)
  const running = first.participate({ signal: stop.signal })
  await next(first, "waiting")
  await expect(first.participate()).rejects.toMatchObject({ code: "USAGE" })
  await expect(clientOf(url).participate()).rejects.toMatchObject({
    code: "USAGE",
    message: expect.stringContaining("work"),
  })
  stop.abort()
  await running
  const again = new AbortController()
  const third = clientOf(url)
  third.once("waiting", () => again.abort())
  expect(await third.participate({ signal: again.signal })).toMatchObject({ reason: "left" })
})

test("an update past the hard deadline is missed, not sent", async () => {
  const hooks: WireOptions["hooks"] = {
    header: (header) => ({ ...header, softDeadlineMs: Date.now() + 100, hardDeadlineMs: Date.now() + 100 }),
  }
  const { url, commits } = await serve({ plan: { steps: 1_000 }, hooks })
  const client = clientOf(url, { trainer: deterministicTrainer({ stepMs: 5 }) })
  expect((await client.participate()).rounds).toEqual([{ runId: "run-1", round: 1, outcome: "missed" }])
  expect(commits.size).toBe(0)
})

test("a training that diverges is reported, and the client goes on with the next round", async () => {
  const { url, declines } = await serve({ rounds: 2 })
  const honest = deterministicTrainer()
  const trainer = {
    ...honest,
    train: (task: Parameters<typeof honest.train>[0], context: Parameters<typeof honest.train>[1]) =>
      task.round === 1
        ? Promise.reject(new LaminaError("TRAINING_DIVERGED", "loss NaN at step 3"))
        : honest.train(task, context),
  }
  expect((await clientOf(url, { trainer }).participate()).rounds).toMatchObject([
    { round: 1, outcome: "failed", code: "TRAINING_DIVERGED", reason: "loss NaN at step 3" },
    { round: 2, outcome: "accepted" },
  ])
  const { wire } = ERRORS.TRAINING_DIVERGED
  expect(declines).toEqual([{ runId: "run-1", round: 1, code: wire, reason: "loss NaN at step 3" }])
})

test("a coordinator that knows no decline is left with it", async () => {
  const refuse = (event: string) => (event === "round.decline" ? ("FRAME_MALFORMED" as const) : undefined)
  const { url, requests } = await serve({ hooks: { refuse } })
  const fail = () => Promise.reject(new LaminaError("TRAINING_DIVERGED", "é".repeat(2_000)))
  const [round] = (await clientOf(url, { trainer: { ...deterministicTrainer(), train: fail } }).participate()).rounds
  expect(round).toMatchObject({ outcome: "failed", code: "TRAINING_DIVERGED" })
  expect(requests).toContain("round.decline")
})

test("a trainer that returns what the plan did not ask for is told before anything is sent", async () => {
  const { url, requests } = await serve()
  const honest = deterministicTrainer()
  const trainer = {
    ...honest,
    train: async (task: Parameters<typeof honest.train>[0], context: Parameters<typeof honest.train>[1]) => {
      const trained = await honest.train(task, context)
      trained.adapter.modules[0]?.a.fill(NaN)
      return trained
    },
  }
  const [round] = (await clientOf(url, { trainer }).participate()).rounds
  expect(round).toMatchObject({ outcome: "failed", code: "UPDATE_NOT_FINITE" })
  expect(requests).not.toContain("upload.open")
})

test("an agent says in sentences what its client does", async () => {
  const { url } = await serve()
  const lines: string[] = []
  const result = await runAgent({ ...optionsOf(url), say: (line) => lines.push(line) })
  expect(result).toMatchObject({ reason: "run-ended" })
  expect(lines[0]).toMatch(/^connected to http:\/\/127\.0\.0\.1:\d+\/ as [0-9a-f]{32}$/)
  expect(lines).toEqual(
    expect.arrayContaining(["round 1: 3 steps on 2 modules", "round 1: accepted", "the run ended: done"]),
  )
})
