import { hash, toHex, verify } from "@lamina/crypto"
import { decodeAdapter, messages } from "@lamina/protocol"
import type { AdapterModule } from "@lamina/protocol"
import { ERRORS } from "@lamina/protocol/errors"
import type { RunningCoordinator } from "@lamina/server"

import { clientOf, closeAll, coordinatorOn, joinAll, nextEvent, runRequest } from "./federation.js"
import { refusal } from "./protocol-client.js"
import type { ProtocolClient, Task } from "./protocol-client.js"

afterEach(closeAll)

interface Opened {
  readonly coordinator: RunningCoordinator
  readonly run: string
  readonly north: ProtocolClient
  readonly south: ProtocolClient
  readonly task: Task
}

/** A run of one round with two clients, and north's task. */
async function openRound(changes: Parameters<typeof runRequest>[0] = {}): Promise<Opened> {
  const coordinator = await coordinatorOn()
  const { id: run } = await coordinator.createRun(runRequest(changes))
  const [north, south] = await joinAll(coordinator, "north", "south")
  return { coordinator, run, north: north!, south: south!, task: await north!.task(run) }
}

test("a task is signed, bound to its client, and planned as the recipe and the client's limits say", async () => {
  const coordinator = await coordinatorOn()
  const { id: run } = await coordinator.createRun(runRequest({ seed: 9, lora: { rank: 4, alphaPerRank: 2 } }))
  const north = await clientOf(coordinator, "north").open({ capability: { rankMax: 3, precision: "q4" } })
  const south = await clientOf(coordinator, "south").open()
  const { coordinatorKey } = await south.challenge
  const [task, other] = [await north.task(run), await south.task(run)]
  const { offer, header, headerHash, plan } = task
  expect(verify(coordinatorKey, offer.headerSignature, "lamina/v1/header", offer.header)).toBe(true)
  expect(
    verify(coordinatorKey, offer.planSignature, "lamina/v1/plan", headerHash, north.identity.clientId, offer.plan),
  ).toBe(true)
  expect(
    verify(
      coordinatorKey,
      other.offer.planSignature,
      "lamina/v1/plan",
      headerHash,
      north.identity.clientId,
      other.offer.plan,
    ),
  ).toBe(false)
  expect(plan.modules.map(({ name, rank, alpha }) => [name, rank, alpha])).toEqual([
    ["layers.0.q_proj", 3, 6],
    ["layers.1.v_proj", 3, 6],
  ])
  expect([plan.precision, other.plan.precision, other.plan.modules[0]?.rank]).toEqual(["q4", "q8", 4])
  expect(header).toMatchObject({
    round: 1,
    runId: run,
    mode: "open",
    weightRule: "tokens",
    seed: 9,
    globalAdapterHash: new Uint8Array(0),
  })
  expect(header.previousHeaderHash).toEqual(new Uint8Array(32))
  // cohort_root = H(client_id ‖ H(plan), clients by id)
  const members = [
    { client: north, offer },
    { client: south, offer: other.offer },
  ]
  members.sort((l, r) => (toHex(l.client.identity.clientId) < toHex(r.client.identity.clientId) ? -1 : 1))
  expect(header.cohortRoot).toEqual(hash(...members.flatMap((m) => [m.client.identity.clientId, hash(m.offer.plan)])))
  // seed: first 4 bytes, little-endian, of H("seed" ‖ 9 ‖ 1 ‖ "north")
  const input = Buffer.concat([Buffer.from("seed"), Uint8Array.of(9, 0, 0, 0, 1, 0, 0, 0), Buffer.from("north")])
  expect(plan.seed).toBe(Buffer.from(hash(input)).readUInt32LE(0))
})

test("two updates become a global adapter that is their weighted stack, whatever their order of arrival", async () => {
  const hashes: string[] = []
  for (const order of [
    ["north", "south"],
    ["south", "north"],
  ]) {
    const { coordinator, run, north, south } = await openRound()
    const published = nextEvent(coordinator, "roundPublished")
    const ended = nextEvent(coordinator, "runEnded")
    const clients = { north, south } as Record<string, ProtocolClient>
    const sealed = { north: { fill: 1, weight: 30 }, south: { fill: 2, weight: 10 } } as Record<
      string,
      { fill: number; weight: number }
    >
    for (const [i, name] of order.entries()) {
      const task = await clients[name]!.task(run)
      const receipt = await clients[name]!.submit(task, clients[name]!.seal(task, sealed[name]))
      expect(receipt).toMatchObject({ status: "ACCEPTED", code: 0, sequence: i + 1, roundHeaderHash: task.headerHash })
    }
    const { adapterHash, report } = await published
    expect(report).toMatchObject({ updates: 2, weight: 40, stackedRank: 4, compressionError: 0 })
    const bytes = await coordinator.adapter(adapterHash)
    expect(toHex(hash(bytes))).toBe(adapterHash)
    const first = decodeAdapter(bytes).modules[0]!
    // rows of A: p s A = 0.75 * 2 * 1 for north's two rows, 0.25 * 2 * 2 for south's; s = alpha / r = 2
    expect([...first.a]).toEqual([...Array<number>(12).fill(1.5), ...Array<number>(12).fill(1)])
    // columns of B: north's two are 2, south's two are 4
    expect([...first.b]).toEqual(Array.from({ length: 5 }, () => [2, 2, 4, 4]).flat())
    expect(await ended).toEqual({ runId: run, state: "done" })
    expect(coordinator.run(run)).toMatchObject({
      state: "done",
      globalAdapterHash: adapterHash,
      weights: { north: 30, south: 10 },
    })
    expect(coordinator.run(run).rounds).toEqual([
      { round: 1, state: "published", cohort: 2, accepted: 2, rejected: 0, adapterHash },
    ])
    const told = (await north.next(run)).ended!
    expect([told.state, toHex(told.globalAdapterHash)]).toEqual(["done", adapterHash])
    hashes.push(adapterHash)
  }
  expect(hashes[0]).toBe(hashes[1])
})

test("the same envelope again is a duplicate with the same sequence, another one a conflict", async () => {
  const { coordinator, north, task } = await openRound()
  const { coordinatorKey } = await north.challenge
  const sealed = north.seal(task)
  const first = await north.submit(task, sealed)
  expect(verify(coordinatorKey, first.raw.signature, "lamina/v1/receipt", first.raw.body)).toBe(true)
  const again = await north.submit(task, sealed)
  expect([first.status, again.status, again.sequence]).toEqual(["ACCEPTED", "DUPLICATE", first.sequence])
  expect(again.envelopeRoot).toEqual(sealed.root)
  expect(await refusal(north.submit(task, north.seal(task)))).toBe("UPLOAD_CONFLICT")
  expect(coordinator.runs()[0]?.rounds[0]).toMatchObject({ accepted: 1 })
})

test("a small envelope comes along with upload.open, and its ticket carries the receipt", async () => {
  const { coordinator, north, task } = await openRound()
  const sealed = north.seal(task)
  const statusOf = async (whole: Uint8Array) => {
    const { receipt } = await north.openUpload(task, sealed, whole)
    return receipt && messages.ReceiptBody.decode(receipt.body)
  }
  const other = sealed.envelope.map((byte, i) => (i === sealed.bytes - 1 ? byte ^ 1 : byte))
  expect(await refusal(statusOf(other))).toBe("CHUNK_MISMATCH")
  expect(await refusal(statusOf(sealed.envelope.subarray(1)))).toBe("CHUNK_MISMATCH")
  // opened without it first: what is refused above was not stored, and the same upload takes the whole now
  expect([...(await north.openUpload(task, sealed)).have]).toEqual([0])
  expect(await refusal(statusOf(other))).toBe("CHUNK_MISMATCH")
  const first = await statusOf(sealed.envelope)
  expect(first).toMatchObject({ status: "ACCEPTED", envelopeRoot: sealed.root })
  expect(await statusOf(sealed.envelope)).toMatchObject({ status: "DUPLICATE", sequence: first?.sequence })
  expect(await north.submit(task, sealed)).toMatchObject({ status: "DUPLICATE", sequence: first?.sequence })
  expect(coordinator.runs()[0]?.rounds[0]).toMatchObject({ accepted: 1 })
})

test("a hundred commits at once give one update and one sequence", async () => {
  const { coordinator, north, task } = await openRound()
  const sealed = north.seal(task)
  const { uploadId } = await north.openUpload(task, sealed)
  await north.putAll(uploadId, sealed)
  const receipts = await Promise.all(Array.from({ length: 100 }, () => north.commit(uploadId, sealed.root)))
  expect(new Set(receipts.map(({ sequence }) => sequence))).toEqual(new Set([1]))
  expect(new Set(receipts.map(({ status }) => status))).not.toContain("REJECTED")
  expect(coordinator.runs()[0]?.rounds[0]).toMatchObject({ accepted: 1 })
})

test("an envelope of another round, of another client, or for a round that is not open, is refused", async () => {
  const { run, north, south, task } = await openRound()
  const other = { ...task, headerHash: hash(task.headerHash) }
  expect(await refusal(north.openUpload(task, north.seal(other)))).toBe("ROUND_MISMATCH")
  expect(await refusal(north.openUpload(task, south.seal(await south.task(run))))).toBe("ENVELOPE_REJECTED")
  const later = { ...task, header: { ...task.header, round: 2 } }
  expect(await refusal(north.openUpload(later, north.seal(later)))).toBe("ROUND_MISMATCH")
  const nowhere = { ...task, header: { ...task.header, runId: "nowhere" } }
  expect(await refusal(north.openUpload(nowhere, north.seal(nowhere)))).toBe("NOT_FOUND")
})

const spoilt: [string, keyof typeof ERRORS, (modules: AdapterModule[]) => AdapterModule[]][] = [
  [
    "a rank above the plan's",
    "UPDATE_RANK",
    ([first, ...rest]) => [{ ...first!, rank: 3, a: new Float32Array(18), b: new Float32Array(15) }, ...rest],
  ],
  ["another alpha", "UPDATE_RANK", ([first, ...rest]) => [{ ...first!, alpha: 400 }, ...rest]],
  ["an unknown module", "UPDATE_MODULE", ([first, second]) => [first!, { ...second!, name: "layers.9.v_proj" }]],
  ["a missing module", "UPDATE_MODULE", ([first]) => [first!]],
  [
    "another shape",
    "UPDATE_SHAPE",
    ([first, ...rest]) => [{ ...first!, inFeatures: 7, a: new Float32Array(14) }, ...rest],
  ],
  [
    "a NaN",
    "UPDATE_NOT_FINITE",
    ([first, ...rest]) => [{ ...first!, a: first!.a.map((x, i) => (i === 3 ? NaN : x)) }, ...rest],
  ],
  [
    "an infinity",
    "UPDATE_NOT_FINITE",
    ([first, ...rest]) => [{ ...first!, b: first!.b.map((x, i) => (i === 9 ? -Infinity : x)) }, ...rest],
  ],
  [
    "a value beyond the limit",
    "UPDATE_NOT_FINITE",
    ([first, ...rest]) => [{ ...first!, b: first!.b.map(() => 1e30) }, ...rest],
  ],
]

test.each(spoilt)(
  "an update with %s is REJECTED with %s, durably, and changes nothing of the aggregate",
  async (_what, code, change) => {
    const { coordinator, run, north, south, task } = await openRound()
    const published = nextEvent(coordinator, "roundPublished")
    const sealed = north.seal(task, { change })
    const receipt = await north.submit(task, sealed)
    expect(receipt).toMatchObject({ status: "REJECTED", code: ERRORS[code].wire, sequence: 1 })
    expect(await north.submit(task, sealed)).toMatchObject({ status: "REJECTED", code: ERRORS[code].wire, sequence: 1 })
    expect(await refusal(north.submit(task, north.seal(task)))).toBe("UPLOAD_CONFLICT")
    expect((await south.submit(await south.task(run))).status).toBe("ACCEPTED")
    const adapter = decodeAdapter(await coordinator.adapter((await published).adapterHash))
    // south alone: p = 1, s = 2, A filled with 1, B with 2
    expect(adapter.modules.map(({ rank }) => rank)).toEqual([2, 2])
    for (const { a, b } of adapter.modules) expect([new Set(a), new Set(b)]).toEqual([new Set([2]), new Set([2])])
  },
)

test("a weight of nothing is REJECTED", async () => {
  const { north, task } = await openRound()
  expect(await north.submit(task, north.seal(task, { weight: 0 }))).toMatchObject({
    status: "REJECTED",
    code: ERRORS.UPDATE_WEIGHT.wire,
  })
})

test("with equal weights nobody's claim counts", async () => {
  const { coordinator, run, north, south } = await openRound({ weightBy: "equal" })
  const published = nextEvent(coordinator, "roundPublished")
  for (const [client, weight] of [
    [north, 1_000_000],
    [south, 1],
  ] as const) {
    const task = await client.task(run)
    await client.submit(task, client.seal(task, { weight }))
  }
  const { a } = decodeAdapter(await coordinator.adapter((await published).adapterHash)).modules[0]!
  expect(new Set(a)).toEqual(new Set([1])) // p s A = 0.5 * 2 * 1 for both
})

test("bytes that do not authenticate are REJECTED as an envelope", async () => {
  const { north, task } = await openRound()
  const good = north.seal(task)
  const stranger = clientOf({ url: north.url }, "stranger").identity
  // sealed for a key that is not the round's
  const { generateRecipientKey } = await import("@lamina/crypto")
  const sealed = north.seal({ ...task, header: { ...task.header, recipientKey: generateRecipientKey().publicKey } })
  expect(good.bytes).toBe(sealed.bytes)
  expect(stranger.clientId).not.toEqual(north.identity.clientId)
  expect(await north.submit(task, sealed)).toMatchObject({ status: "REJECTED", code: ERRORS.ENVELOPE_REJECTED.wire })
})

test("an envelope far larger than its plan is refused before a byte of it is stored", async () => {
  const { north, task } = await openRound()
  const wide = (modules: AdapterModule[]) =>
    modules.map((m) => ({
      ...m,
      rank: 60_000,
      a: new Float32Array(60_000 * m.inFeatures),
      b: new Float32Array(m.outFeatures * 60_000),
    }))
  expect(await refusal(north.openUpload(task, north.seal(task, { change: wide })))).toBe("UPDATE_SHAPE")
})

test("a client that is not of the cohort is refused", async () => {
  const { run, coordinator, task } = await openRound()
  const west = await clientOf(coordinator, "west").open()
  expect((await west.next(run)).wait).toBeDefined()
  expect(await refusal(west.openUpload(task, west.seal(task)))).toBe("NOT_SELECTED")
})

test("before its commit a client may seal again: the newer envelope takes the place of the older", async () => {
  const { north, task } = await openRound()
  const [lost, kept] = [north.seal(task), north.seal(task)]
  const old = await north.openUpload(task, lost)
  expect((await north.submit(task, kept)).status).toBe("ACCEPTED")
  expect((await north.putChunk(old.uploadId, 0, lost.envelope)).status).toBe(404)
})

test("adapters, bases and base files are served by hash, whole and in ranges, to those who may", async () => {
  const { coordinator, run, north, south } = await openRound()
  const published = nextEvent(coordinator, "roundPublished")
  for (const client of [north, south]) await client.submit(await client.task(run))
  const { adapterHash } = await published
  const get = (path: string, headers: Record<string, string> = {}) =>
    fetch(`${coordinator.url}${path}`, { headers: { authorization: `Bearer ${north.token}`, ...headers } })
  const whole = new Uint8Array(await (await get(`/v1/adapters/${adapterHash}`)).arrayBuffer())
  expect(toHex(hash(whole))).toBe(adapterHash)
  const part = await get(`/v1/adapters/${adapterHash}`, { range: "bytes=10-19" })
  expect([part.status, part.headers.get("content-range"), part.headers.get("etag")]).toEqual([
    206,
    `bytes 10-19/${whole.length}`,
    `"${adapterHash}"`,
  ])
  expect(new Uint8Array(await part.arrayBuffer())).toEqual(whole.subarray(10, 20))
  expect((await get(`/v1/adapters/${adapterHash}`, { "if-none-match": `"${adapterHash}"` })).status).toBe(304)
  expect((await get(`/v1/adapters/${adapterHash}`, { range: `bytes=${whole.length}-` })).status).toBe(416)
  expect((await get(`/v1/adapters/${"0".repeat(64)}`)).status).toBe(404)
  expect((await get(`/v1/adapters/${adapterHash}`, { authorization: "" })).status).toBe(401)
  const manifest = new Uint8Array(await (await get(`/v1/bases/${coordinator.run(run).baseHash}`)).arrayBuffer())
  expect(toHex(hash(manifest))).toBe(coordinator.run(run).baseHash)
  const { files } = messages.BaseManifest.decode(manifest)
  expect(files.map(({ path, bytes }) => [path, bytes])).toEqual([
    ["config.json", 17],
    ["model.safetensors", 300_000],
  ])
  const file = new Uint8Array(await (await get(`/v1/blobs/${toHex(files[1]!.hash)}`)).arrayBuffer())
  expect(hash(file)).toEqual(files[1]!.hash)
  const tail = await get(`/v1/blobs/${toHex(files[1]!.hash)}`, { range: "bytes=-5" })
  expect(new Uint8Array(await tail.arrayBuffer())).toEqual(new Uint8Array(5).fill(7))
})
