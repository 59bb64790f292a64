import { join } from "node:path"

import { LaminaClient } from "@lamina/client"
import type { Clock, LaminaClientOptions, TrainingTask } from "@lamina/client"
import { hash, identityFromSeed, openEnvelope } from "@lamina/crypto"
import { decodeUpdate, encodeAdapter, messages } from "@lamina/protocol"
import type { Adapter, UpdateContent } from "@lamina/protocol"

import { deterministicTrainer } from "./deterministic-trainer.mjs"
import { FEDERATION } from "./wire-server.js"
import type { WireOptions, WireServer } from "./wire-server.js"
import { WireServers } from "./wire-servers.js"

/** What a client makes of the fields of its plan, over real sockets. */
const wire = new WireServers("plan")
const serve = (options?: WireOptions): Promise<WireServer> => wire.serve(options)

const MODULE = { name: "layer.q_proj", outFeatures: 3, inFeatures: 2 }
const PLANNED = { ...MODULE, rank: 2, alpha: 4, startRank: 0 }

function clientOf({ url }: WireServer, more: Partial<LaminaClientOptions> = {}): LaminaClient {
  return new LaminaClient({
    coordinator: url,
    ...{ identity: identityFromSeed(new Uint8Array(32).fill(9)), name: "tester" },
    data: { kind: "documents", documents: ["a"] },
    ...{ workDir: join(wire.folder, "work"), cacheDir: join(wire.folder, "cache"), trainer: deterministicTrainer() },
    ...more,
  })
}

/** A trainer of a program of its own that keeps what it is told to do. */
function keepingTrainer(): { trainer: ReturnType<typeof deterministicTrainer>; tasks: TrainingTask[] } {
  const honest = deterministicTrainer()
  const tasks: TrainingTask[] = []
  const train: typeof honest.train = (task, context) => {
    tasks.push(task)
    return honest.train(task, context)
  }
  return { trainer: { ...honest, train }, tasks }
}

/** Rank 3, scale 2. */
const VIEW: Adapter = {
  modules: [
    {
      ...{ ...MODULE, rank: 3, alpha: 6, scaling: "lora" },
      ...{ a: Float32Array.of(1, 2, 3, 4, 5, 6), b: Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9) },
    },
  ],
}

test("a client trains on the view its plan names, whatever the header's global adapter is", async () => {
  const globalAdapter = encodeAdapter(VIEW)
  // nobody serves the header's: a client that asked for it would fail
  const hooks: WireOptions["hooks"] = {
    header: (header) => ({ ...header, globalAdapterHash: new Uint8Array(32).fill(7) }),
  }
  const plan = { modules: [{ ...PLANNED, startRank: 1 }], globalAdapterHash: hash(globalAdapter), initSeed: 3 }
  const { trainer, tasks } = keepingTrainer()
  const { rounds } = await clientOf(await serve({ globalAdapter, hooks, plan }), { trainer }).participate()
  expect(rounds).toMatchObject([{ outcome: "accepted" }])
  // both scales are 2: the first row of A and column of B as they are, the other two frozen at scale 4 / 2
  expect(tasks[0]?.initial?.modules).toMatchObject([{ name: MODULE.name, rank: 2, alpha: 4 }])
  expect(tasks[0]?.initial?.modules[0]?.a.slice(0, 2)).toEqual(Float32Array.of(1, 2))
  expect(tasks[0]?.initial?.modules[0]?.b).toEqual(Float32Array.of(1, 0, 4, 0, 7, 0))
  expect(tasks[0]?.globalAdapter?.modules).toMatchObject([{ rank: 2, alpha: 4 }])
  expect(tasks[0]?.globalAdapter?.modules[0]?.b).toEqual(Float32Array.of(2, 3, 5, 6, 8, 9))
})

test("a plan that starts from more than the view has fails its round with the numbers", async () => {
  const globalAdapter = encodeAdapter(VIEW)
  const plan = { modules: [{ ...PLANNED, rank: 4, startRank: 4 }] }
  const { rounds } = await clientOf(await serve({ globalAdapter, plan })).participate()
  expect(rounds).toMatchObject([
    { outcome: "failed", code: "PLAN_UNSUPPORTED", reason: expect.stringMatching(/rank 4 .* rank 3/) },
  ])
})

/** What the client sealed, as the coordinator reads it. */
function sentUpdate({ uploads, recipient }: WireServer): UpdateContent {
  const [upload] = uploads.values()
  const chunks = [...(upload?.chunks ?? [])].sort(([left], [right]) => left - right).map(([, chunk]) => chunk)
  const { roundHeaderHash, clientId } = messages.EnvelopeHeader.decode(upload?.open.header ?? new Uint8Array(0))
  const expected = { federationId: FEDERATION, roundHeaderHash, clientId }
  return decodeUpdate(openEnvelope(Buffer.concat(chunks), { recipientSecretKey: recipient.secretKey, expected }))
}

test.each([true, false])("the update carries scores where the plan asks for them: %s", async (reportScores) => {
  const scores = [{ name: MODULE.name, values: [0.5, 0] }]
  const honest = deterministicTrainer()
  const train: typeof honest.train = async (task, context) => ({ ...(await honest.train(task, context)), scores })
  const server = await serve({ plan: { modules: [PLANNED], reportScores } })
  const { rounds } = await clientOf(server, { trainer: { ...honest, train } }).participate()
  expect(rounds).toMatchObject([{ outcome: "accepted" }])
  expect(sentUpdate(server).scores).toEqual(reportScores ? scores : [])
})

test.each([
  ["q8", "failed"],
  ["bf16", "accepted"],
] as const)("a merge into a base held as %s ends as %s", async (precision, outcome) => {
  const server = await serve({ plan: { modules: [PLANNED], precision, mergeGlobal: true } })
  const [round] = (await clientOf(server).participate()).rounds
  expect(round).toMatchObject({ outcome, ...(outcome === "failed" && { code: "PLAN_UNSUPPORTED" }) })
})

test("a client spends no more than it was told to", async () => {
  const plan = { modules: [PLANNED] } // 2 (3 + 2) values of 4 bytes
  const outcomeOf = async (more: Partial<LaminaClientOptions>): Promise<unknown> => {
    // another one every time: what this process holds decoded is not loaded again
    const alpha = 7 + (more.uploadBytesMax ?? 0)
    const globalAdapter = encodeAdapter({ modules: VIEW.modules.map((module) => ({ ...module, alpha })) })
    const work = {
      workDir: join(wire.folder, JSON.stringify(more)),
      cacheDir: join(wire.folder, JSON.stringify(more), "cache"),
    }
    return (await clientOf(await serve({ globalAdapter, plan }), { ...work, ...more }).participate()).rounds[0]
  }
  const bytes = encodeAdapter(VIEW).byteLength
  expect(await outcomeOf({ uploadBytesMax: 40, downloadBytesMax: bytes })).toMatchObject({ outcome: "accepted" })
  expect(await outcomeOf({ uploadBytesMax: 39 })).toMatchObject({
    ...{ outcome: "failed", code: "PLAN_UNSUPPORTED", reason: expect.stringMatching(/at most 39 bytes.* 40 bytes/) },
  })
  expect(await outcomeOf({ downloadBytesMax: bytes - 1 })).toMatchObject({ outcome: "failed", code: "FRAME_TOO_LARGE" })
  expect(() => clientOf({ url: "http://127.0.0.1:1" } as WireServer, { memoryBytesMax: 0.5 })).toThrow(/memoryBytesMax/)
})

test("capability: limits as told, memory within them, speeds measured and kept for the next process", async () => {
  const limits = { memoryBytesMax: 2 ** 20, uploadBytesMax: 10 ** 7, downloadBytesMax: 2 * 10 ** 7 }
  const trainer = deterministicTrainer()
  const calibrate = async (): ReturnType<typeof trainer.calibrate> => ({
    ...{ kernels: "none", tokensPerSecond: 1_000, forwardTokensPerSecond: 3_000 },
  })
  const server = await serve({}) // a base of 100 kB and updates of 512 KiB
  const join = (): Promise<unknown> => clientOf(server, { ...limits, trainer: { ...trainer, calibrate } }).participate()
  await join()
  await join()
  const [first, second] = server.sessions.map(({ capability }) => capability)
  expect(first).toMatchObject({ uploadBytesMax: 10 ** 7, downloadBytesMax: 2 * 10 ** 7, memoryBytes: 2 ** 20 })
  expect(first).toMatchObject({ freeMemoryBytes: 2 ** 20, tokensPerSecond: 1_000, forwardTokensPerSecond: 3_000 })
  expect(first).toMatchObject({ uploadBytesPerSecond: 0, downloadBytesPerSecond: 0 })
  // a local socket: more than a modem, less than memory
  for (const rate of [second?.uploadBytesPerSecond, second?.downloadBytesPerSecond]) {
    expect(rate).toBeGreaterThan(10_000)
    expect(rate).toBeLessThan(10 ** 11)
  }
})

test("the round's deadline is by the clock that was given", async () => {
  const waits: number[] = []
  let [fire, cancelled] = [(): void => undefined, 0]
  const clock: Clock = {
    now: () => 1_000, // the coordinator's time is 1970, as this client sees it
    after: (ms, work) => {
      waits.push(ms)
      fire = work
      return () => void cancelled++
    },
  }
  const plan = { modules: [PLANNED], steps: 1_000_000 }
  const client = clientOf(await serve({ plan }), { clock, trainer: deterministicTrainer({ stepMs: 1 }) })
  client.on("progress", ({ step }) => step === 2 && fire())
  expect((await client.participate()).rounds).toMatchObject([{ outcome: "missed" }])
  // the wire's deadline is a minute after its header, which comes within seconds of the session
  expect(waits).toHaveLength(1)
  expect(waits[0]).toBeGreaterThan(55_000)
  expect(waits[0]).toBeLessThan(70_000)
  expect(cancelled).toBe(1)
})
