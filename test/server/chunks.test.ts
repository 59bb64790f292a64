import { LIMITS } from "@lamina/protocol"

import { closeAll, coordinatorOn, joinAll, runRequest } from "./federation.js"
import { chunkOf, refusal } from "./protocol-client.js"
import type { ProtocolClient } from "./protocol-client.js"

afterEach(closeAll)

test("chunks of wrong bytes, length, index or sender are refused; the right bytes may come twice", async () => {
  const coordinator = await coordinatorOn()
  const { id: run } = await coordinator.createRun(runRequest({ lora: { rank: 1_000, alphaPerRank: 1 } }))
  const [north, south] = (await joinAll(coordinator, "north", "south")) as [ProtocolClient, ProtocolClient]
  const task = await north.task(run)
  const sealed = north.seal(task)
  expect(sealed.leaves.length).toBe(1) // 4 · 1000 · (11 + 11) B of tensors = 88 kB
  const { uploadId, have, window } = await north.openUpload(task, sealed)
  expect([[...have], window]).toEqual([[0], LIMITS.uploadWindow])
  const put = async (client: ProtocolClient, index: number, bytes: Uint8Array) => {
    const response = await client.putChunk(uploadId, index, bytes)
    return [response.status, response.status === 204 ? "" : ((await response.json()) as { code: string }).code]
  }
  const chunk = chunkOf(sealed.envelope, 0)
  expect(
    await put(
      north,
      0,
      chunk.map((byte, i) => (i === 70 ? byte ^ 1 : byte)),
    ),
  ).toEqual([409, "CHUNK_MISMATCH"])
  expect(await put(north, 0, chunk.subarray(1))).toEqual([409, "CHUNK_MISMATCH"])
  expect(await put(north, 1, chunk)).toEqual([409, "CHUNK_MISMATCH"])
  expect(await put(north, 0, new Uint8Array(0))).toEqual([409, "CHUNK_MISMATCH"])
  expect(await put(north, 0, new Uint8Array(LIMITS.chunkBytes))).toEqual([409, "CHUNK_MISMATCH"])
  const tooMuch = LIMITS.requestBytesMax + 1
  expect(await put(north, 0, new Uint8Array(tooMuch))).toEqual([413, "FRAME_TOO_LARGE"])
  await south.task(run)
  expect(await put(south, 0, chunk)).toEqual([404, "NOT_FOUND"])
  expect((await fetch(`${north.url}/v1/uploads/${uploadId}/chunks/0`, { method: "PUT", body: "x" })).status).toBe(401)
  const bytes = { method: "POST", headers: { "content-type": "application/octet-stream" }, body: "x" }
  expect((await fetch(`${north.url}/v1/runs`, bytes)).status).toBe(400) // a body is read for chunks alone
  expect(await refusal(north.commit(uploadId, sealed.root))).toBe("UPLOAD_INCOMPLETE")
  expect(await put(north, 0, chunk)).toEqual([204, ""])
  expect(await put(north, 0, chunk)).toEqual([204, ""])
  expect([...(await north.openUpload(task, sealed)).have]).toEqual([1])
  expect(await refusal(north.commit(uploadId, new Uint8Array(32)))).toBe("UPLOAD_CONFLICT")
  expect((await north.commit(uploadId, sealed.root)).status).toBe("ACCEPTED")
})

test("an envelope of several chunks may come in any order, and the ticket says which are there", async () => {
  const modules = [{ name: "wide", outFeatures: 1_000, inFeatures: 1_000 }]
  const coordinator = await coordinatorOn()
  const { id: run } = await coordinator.createRun({ ...runRequest({ lora: { rank: 100 } }), modules })
  const [north] = await joinAll(coordinator, "north", "south")
  const task = await north!.task(run)
  const sealed = north!.seal(task)
  expect(sealed.leaves.length).toBe(4) // 800 kB of tensors in chunks of 256 KiB
  const { uploadId } = await north!.openUpload(task, sealed)
  for (const i of [3, 1]) expect((await north!.putChunk(uploadId, i, chunkOf(sealed.envelope, i))).status).toBe(204)
  expect([...(await north!.openUpload(task, sealed)).have]).toEqual([0b1010])
  expect(await refusal(north!.commit(uploadId, sealed.root))).toBe("UPLOAD_INCOMPLETE")
  const two = Buffer.concat([chunkOf(sealed.envelope, 2), chunkOf(sealed.envelope, 3)])
  for (const [i, wrong] of [
    [2, two.subarray(0, -1)],
    [2, Buffer.concat([two, two.subarray(0, 9)])],
    [1, two],
    [3, two],
    [2, Buffer.concat([two.subarray(0, -1), Buffer.of(1)])],
  ] as const)
    expect((await north!.putChunk(uploadId, i, wrong)).status).toBe(409)
  expect([...(await north!.openUpload(task, sealed)).have]).toEqual([0b1010]) // all chunks of a request, or none
  expect((await north!.putChunk(uploadId, 2, two)).status).toBe(204)
  expect((await north!.putChunk(uploadId, 0, sealed.envelope.subarray(0, 2 * LIMITS.chunkBytes))).status).toBe(204)
  expect((await north!.commit(uploadId, sealed.root)).status).toBe("ACCEPTED")
})

test("chunks on their way when their run ends are taken or refused, and are no failure", async () => {
  const modules = [{ name: "wide", outFeatures: 1_000, inFeatures: 1_000 }]
  const coordinator = await coordinatorOn()
  const clients = await joinAll(coordinator, ...Array.from({ length: 12 }, (_, i) => `client${i}`))
  const seen = new Set<number>()
  for (let i = 0; i < 10; i++) {
    const recipe = { ...{ lora: { rank: 250 } }, cohort: { clients: 12, quorum: 1 } }
    const { id: run } = await coordinator.createRun({ ...runRequest(recipe), modules })
    const ready = clients.map(async (client) => {
      const task = await client.task(run)
      const { envelope, ...sealed } = client.seal(task) // 2 MB
      const { uploadId } = await client.openUpload(task, { envelope, ...sealed })
      return () => client.putChunk(uploadId, 0, envelope.subarray(0, 7 * LIMITS.chunkBytes))
    })
    const sending = (await Promise.all(ready)).map((send) => send())
    await new Promise((resolve) => setTimeout(resolve, 4 * i))
    await coordinator.cancelRun(run)
    for (const { status } of await Promise.all(sending)) seen.add(status)
  }
  // which of them, is a matter of time
  expect([...seen].filter((status) => ![204, 409].includes(status))).toEqual([])
  expect(seen.size).toBeGreaterThan(0)
})
