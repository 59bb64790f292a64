import { mkdtemp, readdir, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { LaminaClient } from "@lamina/client"
import type { LaminaClientOptions, RoundOutcome } from "@lamina/client"
import { identityFromSeed, toHex } from "@lamina/crypto"
import { encodeAdapter, LIMITS, messages } from "@lamina/protocol"

import { deterministicTrainer } from "./deterministic-trainer.mjs"
import { WireServer } from "./wire-server.js"
import type { WireOptions } from "./wire-server.js"

/** A client against a coordinator that lies: what it must refuse, and what it must go on after. */
let folder: string
let server: WireServer | undefined
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "lamina-hostile-"))
})
afterEach(async () => {
  await server?.stop()
  await rm(folder, { recursive: true, force: true })
})

const identity = identityFromSeed(new Uint8Array(32).fill(9))

async function meet(options: WireOptions): Promise<WireServer> {
  server = await new WireServer(options).start()
  return server
}

function clientOf(coordinator: string, options: Partial<LaminaClientOptions> = {}): LaminaClient {
  let random = 1
  return new LaminaClient({
    coordinator,
    identity,
    name: "tester",
    data: { kind: "documents", documents: ["a"] },
    workDir: join(folder, "work"),
    cacheDir: join(folder, "cache"),
    trainer: deterministicTrainer(),
    firstConnectMs: 2_000,
    // retries within a few milliseconds, from a fixed sequence
    random: () => ((random = (random * 48_271) % 2_147_483_647) / 2_147_483_647) * 0.02,
    ...options,
  })
}

async function outcomes(client: LaminaClient): Promise<readonly RoundOutcome[]> {
  return (await client.participate()).rounds
}

test("an honest coordinator of the same wire gets every update once", async () => {
  const { url, commits } = await meet({ rounds: 2 })
  expect(await outcomes(clientOf(url))).toEqual([
    { runId: "run-1", round: 1, outcome: "accepted", sequence: 42 },
    { runId: "run-1", round: 2, outcome: "accepted", sequence: 42 },
  ])
  expect([...commits.values()].map((roots) => roots.length)).toEqual([1, 1])
  // what is left is the journal: no envelope, no checkpoint, and the folder is free again
  const state = join(folder, "work", toHex(identity.clientId))
  expect((await readdir(state)).sort()).toEqual(["journal.jsonl", "rounds"])
  expect(await readdir(join(state, "rounds"))).toEqual([])
})

const other = identityFromSeed(new Uint8Array(32).fill(3))
const flip = (bytes: Uint8Array): Uint8Array => bytes.map((byte, i) => (i === 5 ? byte ^ 1 : byte))

test.each<[string, NonNullable<WireOptions["hooks"]>, string]>([
  ["a signature of another key on everything", { signer: other }, "SIGNATURE_INVALID"],
  ["a header changed after it was signed", { offer: (o) => ({ ...o, header: flip(o.header) }) }, "SIGNATURE_INVALID"],
  ["a plan changed after it was signed", { offer: (o) => ({ ...o, plan: flip(o.plan) }) }, "SIGNATURE_INVALID"],
  ["a plan signed as a header", { offer: (o) => ({ ...o, planSignature: o.headerSignature }) }, "SIGNATURE_INVALID"],
  ["a header of another run", { header: (h) => ({ ...h, runId: "run-2" }) }, "ROUND_MISMATCH"],
  ["a header of another federation", { header: (h) => ({ ...h, federationId: new Uint8Array(32) }) }, "ROUND_MISMATCH"],
  ["a header of a later protocol", { header: (h) => ({ ...h, version: 2 }) }, "PROTOCOL_VERSION"],
  [
    "a run id that leaves the folder",
    { header: (h) => ({ ...h, runId: "../x" }), offer: (o) => ({ ...o, runId: "../x" }) },
    "FRAME_MALFORMED",
  ],
  [
    "deadlines the wrong way round",
    { header: (h) => ({ ...h, softDeadlineMs: h.hardDeadlineMs + 1 }) },
    "FRAME_MALFORMED",
  ],
])("%s is refused before anything is trained", async (_, hooks, code) => {
  const { url, requests } = await meet({ hooks })
  const trained: number[] = []
  const trainer = deterministicTrainer({ onTrain: ({ round }) => trained.push(round) })
  await expect(clientOf(url, { trainer }).participate()).rejects.toMatchObject({ code })
  expect(trained).toEqual([])
  expect(requests.filter((request) => request.startsWith("upload"))).toEqual([])
})

test.each<[string, (honest: Uint8Array) => Uint8Array | string]>([
  ["text", () => "hello"],
  ["text that says it is one", (honest) => Buffer.from(honest).toString("latin1")],
  ["a reply shorter than its header", (honest) => honest.subarray(0, 4)],
])("a message that is none (%s) ends in FRAME_MALFORMED, not in a hang or a guess", async (_, lie) => {
  const { url } = await meet({
    hooks: { message: (event, honest) => (event === "round.next" ? lie(honest) : undefined) },
  })
  await expect(clientOf(url).participate()).rejects.toMatchObject({ code: "FRAME_MALFORMED" })
})

test("a message of an unknown kind, and a reply that nobody waits for, are left alone", async () => {
  const server: WireServer = await meet({
    hooks: {
      message: (event, honest) => {
        if (event === "round.next")
          for (const kind of [0x80, 0x83, 1]) server.tell(Buffer.concat([Uint8Array.of(kind, 9, 9, 9, 9), honest]))
        return undefined
      },
    },
  })
  expect(await outcomes(clientOf(server.url))).toMatchObject([{ outcome: "accepted" }])
})

test.each<[string, (honest: Uint8Array) => Uint8Array]>([
  ["an empty Reply", () => new Uint8Array(0)],
  ["bytes that are no protobuf", () => Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff)],
  ["a Reply cut short", (honest) => honest.subarray(0, honest.length - 7)],
  ["another message in an ok", () => messages.Reply.encode({ ok: Uint8Array.of(8, 1, 16, 1, 24, 1, 32, 1) })],
])("a malformed Reply (%s) ends in FRAME_MALFORMED, not in a hang or a guess", async (_, lie) => {
  const { url } = await meet({
    hooks: { reply: (event, honest) => (event === "round.next" ? lie(honest) : undefined) },
  })
  await expect(clientOf(url).participate()).rejects.toMatchObject({ code: "FRAME_MALFORMED" })
})

test("a Reply over the limit of a frame is refused; one that would fill memory never arrives", async () => {
  const large = new Uint8Array(LIMITS.frameBytesMax + 1)
  const { url } = await meet({ hooks: { reply: (event) => (event === "round.next" ? large : undefined) } })
  await expect(clientOf(url).participate()).rejects.toMatchObject({ code: "FRAME_TOO_LARGE" })
  await server?.stop()
  // 64 MiB: ws closes the connection at its limit, and the client asks again; the honest answer to the second
  // question ends it
  let asked = 0
  const huge = new Uint8Array(64 * 1024 * 1024)
  const second = await meet({
    hooks: { reply: (event) => (event === "round.next" && asked++ === 0 ? huge : undefined) },
  })
  expect(await outcomes(clientOf(second.url))).toMatchObject([{ outcome: "accepted" }])
  expect(asked).toBeGreaterThan(1)
})

test.each<[string, NonNullable<WireOptions["hooks"]>]>([
  ["a wrong signature", { receiptSignature: flip }],
  ["another update's root", { receipt: (body) => ({ ...body, envelopeRoot: new Uint8Array(32).fill(5) }) }],
  ["another client's id", { receipt: (body) => ({ ...body, clientId: new Uint8Array(16).fill(5) }) }],
  ["another round's header", { receipt: (body) => ({ ...body, roundHeaderHash: new Uint8Array(32).fill(5) }) }],
])("a receipt with %s is no receipt: the update stays spooled and goes again as it is", async (_, hooks) => {
  const lying = await meet({ hooks })
  await expect(clientOf(lying.url).participate()).rejects.toMatchObject({ code: "SIGNATURE_INVALID" })
  const port = Number(new URL(lying.url).port)
  const [sent] = [...lying.commits.values()]
  await lying.stop()
  const honest = await meet({ port })
  const trainer = deterministicTrainer({ onTrain: () => fail("trained again") })
  expect(await outcomes(clientOf(honest.url, { trainer }))).toMatchObject([{ outcome: "accepted" }])
  expect([...honest.commits.values()]).toEqual([sent])
})

function fail(message: string): never {
  throw new Error(message)
}

test("another key at the same work folder is refused, with both keys named", async () => {
  const first = await meet({ seed: 1 })
  await clientOf(first.url).participate()
  await first.stop()
  const { url } = await meet({ seed: 2 })
  await expect(clientOf(url).participate()).rejects.toMatchObject({
    code: "COORDINATOR_CHANGED",
    hint: expect.stringContaining("coordinator.json"),
  })
})

const adapter = encodeAdapter({
  modules: [
    {
      name: "q",
      outFeatures: 64,
      inFeatures: 64,
      rank: 64,
      alpha: 1,
      scaling: "lora",
      a: new Float32Array(4096),
      b: new Float32Array(4096),
    },
  ],
})

test("a global adapter above the limit fails the round, by its announced and by its real length", async () => {
  const { url } = await meet({ globalAdapter: adapter })
  const small = { adapterBytesMax: 10_000 }
  expect(await outcomes(clientOf(url, small))).toMatchObject([{ outcome: "failed", code: "FRAME_TOO_LARGE" }])
  await server?.stop()
  const http: NonNullable<WireOptions["hooks"]>["http"] = (request, response) => {
    if (!request.url?.startsWith("/v1/adapters/")) return false
    response.writeHead(200).end(Buffer.alloc(1_000_000)) // chunked: no length announced
    return true
  }
  const chunked = await meet({ globalAdapter: adapter, hooks: { http } })
  const again = { ...small, workDir: join(folder, "second") }
  expect(await outcomes(clientOf(chunked.url, again))).toMatchObject([{ outcome: "failed", code: "FRAME_TOO_LARGE" }])
  for (const name of await readdir(join(folder, "cache", "adapters")).catch(() => []))
    expect(name).not.toMatch(/^[0-9a-f]{64}$/)
})

test("files that are not what their hash says fail the round after three transfers", async () => {
  let transfers = 0
  const http: NonNullable<WireOptions["hooks"]>["http"] = (request, response) => {
    if (!request.url?.startsWith("/v1/blobs/")) return false
    transfers += 1
    response.writeHead(200).end(Buffer.alloc(2, 0x7b)) // "{{", where the manifest says "{}" by hash
    return true
  }
  const { url } = await meet({ base: { "config.json": Buffer.from("{}") }, hooks: { http } })
  expect(await outcomes(clientOf(url))).toMatchObject([{ outcome: "failed", code: "BLOB_CORRUPT" }])
  expect(transfers).toBe(3)
  const [base] = (await readdir(join(folder, "cache", "bases"))).filter((name) => !name.endsWith(".manifest"))
  expect(await readdir(join(folder, "cache", "bases", base ?? ""))).toEqual([])
})

test("a base manifest with another hash than the header's is refused", async () => {
  const http: NonNullable<WireOptions["hooks"]>["http"] = (request, response) => {
    if (!request.url?.startsWith("/v1/bases/")) return false
    response
      .writeHead(200)
      .end(messages.BaseManifest.encode({ name: "evil", files: [{ path: "x", bytes: 1, hash: new Uint8Array(32) }] }))
    return true
  }
  const { url } = await meet({ hooks: { http } })
  expect(await outcomes(clientOf(url))).toMatchObject([{ outcome: "failed", code: "BLOB_CORRUPT" }])
})

test("a plan this build cannot follow fails its round, and the client takes the next one", async () => {
  const hooks = {
    plan: (plan: Parameters<NonNullable<NonNullable<WireOptions["hooks"]>["plan"]>>[0]) => ({
      ...plan,
      // there is no global adapter yet that anything could start from
      modules: plan.modules.map((module) => ({ ...module, startRank: plan.seed === 1 ? 5 : 0 })),
    }),
  }
  const { url } = await meet({ rounds: 2, hooks })
  expect(await outcomes(clientOf(url))).toMatchObject([
    { round: 1, outcome: "failed", code: "PLAN_UNSUPPORTED" },
    { round: 2, outcome: "accepted" },
  ])
})

test("a history that does not follow the round this client answered is refused", async () => {
  const hooks = {
    header: (h: Parameters<NonNullable<NonNullable<WireOptions["hooks"]>["header"]>>[0]) =>
      h.round === 2 ? { ...h, previousHeaderHash: new Uint8Array(32) } : h,
  }
  const { url, commits } = await meet({ rounds: 2, hooks })
  await expect(clientOf(url).participate()).rejects.toMatchObject({ code: "SIGNATURE_INVALID" })
  expect(commits.size).toBe(1)
})
