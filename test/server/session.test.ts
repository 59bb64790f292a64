import { once } from "node:events"

import { generateIdentity, hash, toHex, utf8 } from "@lamina/crypto"
import { LIMITS, messages } from "@lamina/protocol"
import { WebSocket } from "ws"

import { clientOf, closeAll, coordinatorOn, emptyFolder, joinAll, nextEvent, runRequest } from "./federation.js"
import { refusal } from "./protocol-client.js"

afterEach(closeAll)

test("a signed nonce opens a session, whose client id is the hash of its key", async () => {
  const coordinator = await coordinatorOn()
  const client = clientOf(coordinator, "north")
  const { federationId, coordinatorKey } = await client.challenge
  expect(toHex(federationId)).toBe(coordinator.federationId)
  expect(toHex(hash(utf8("federation"), coordinatorKey))).toBe(coordinator.federationId)
  await client.open({ capability: { rankMax: 4 } })
  const [shown] = (await (await fetch(`${coordinator.url}/v1/clients`)).json()) as Record<string, unknown>[]
  expect(shown).toMatchObject({
    id: toHex(client.identity.clientId),
    name: "north",
    connected: true,
    capability: { rankMax: 4 },
  })
})

test("a signature over another nonce or federation is refused, and the nonce is spent", async () => {
  const coordinator = await coordinatorOn()
  const [first, second] = [clientOf(coordinator, "north"), clientOf(coordinator, "north")]
  expect(await refusal(first.open({ wrong: { nonce: new Uint8Array(32) } }))).toBe("SESSION_REJECTED")
  expect(await refusal(second.open({ wrong: { federationId: new Uint8Array(32).fill(1) } }))).toBe("SESSION_REJECTED")
  expect([...(await first.challenge).nonce]).not.toEqual([...(await second.challenge).nonce])
  for (const client of [first, second]) expect(await refusal(client.open())).toBe("SESSION_REJECTED")
  const third = await clientOf(coordinator, "north").open() // a fresh socket has a fresh nonce, for one session
  expect(await refusal(third.open())).toBe("SESSION_REJECTED")
  expect((await third.next("")).wait).toBeDefined()
})

test("a nonce of one socket does not open a session on another", async () => {
  const coordinator = await coordinatorOn()
  const [first, second] = [clientOf(coordinator, "north"), clientOf(coordinator, "south")]
  const { nonce } = await first.challenge
  expect(await refusal(second.open({ wrong: { nonce } }))).toBe("SESSION_REJECTED")
})

test("a join token, where one is asked for, must be the right one", async () => {
  const coordinator = await coordinatorOn(emptyFolder(), { joinToken: "open sesame" })
  expect(await refusal(clientOf(coordinator, "north").open())).toBe("SESSION_REJECTED")
  expect(await refusal(clientOf(coordinator, "north").open({ joinToken: "open simsim" }))).toBe("SESSION_REJECTED")
  const said = "expected the join token of this coordinator, got"
  await expect(clientOf(coordinator, "north").open()).rejects.toThrow(`${said} none`)
  await expect(clientOf(coordinator, "north").open({ joinToken: "open simsim" })).rejects.toThrow(`${said} another`)
  await clientOf(coordinator, "north").open({ joinToken: "open sesame" })
  expect((await fetch(`${coordinator.url}/v1/clients`)).status).toBe(401)
  const headers = { authorization: `Bearer ${coordinator.adminToken}` }
  expect((await fetch(`${coordinator.url}/v1/clients`, { headers })).status).toBe(200)
})

test("another protocol version is refused", async () => {
  const client = clientOf(await coordinatorOn(), "north")
  expect(await refusal(client.open({ version: 2 }))).toBe("PROTOCOL_VERSION")
})

test("requests before a session are told SESSION_EXPIRED, and bytes that are no message FRAME_MALFORMED", async () => {
  const client = clientOf(await coordinatorOn(), "north")
  const ask = messages.NextTask.encode({ runId: "", afterRound: 0 })
  expect(await refusal(client.request("round.next", ask))).toBe("SESSION_EXPIRED")
  await client.open()
  expect(await refusal(client.request("round.next", Uint8Array.of(0xff, 0xff, 0xff)))).toBe("FRAME_MALFORMED")
  expect(await refusal(client.request(99, ask))).toBe("FRAME_MALFORMED")
  expect(await refusal(client.request(0, ask))).toBe("FRAME_MALFORMED")
  expect((await client.next("")).wait?.reason).toBe("no run is active")
})

test.each([
  ["text", "round.next", 1003],
  ["bytes shorter than a header", Uint8Array.of(2, 1, 0, 0), 1002],
  ["no bytes", new Uint8Array(0), 1002],
])("a message that is none (%s) ends its own connection only", async (_, message, code) => {
  const [north, south] = await joinAll(await coordinatorOn(), "north", "south")
  north!.socket.send(message)
  expect(await north!.closed).toBe(code)
  expect((await south!.next("")).wait?.reason).toBe("no run is active")
})

test("a frame one byte too large is FRAME_TOO_LARGE; a far larger one ends its own connection only", async () => {
  const coordinator = await coordinatorOn()
  const [other, client] = (await joinAll(coordinator, "north", "south")) as [
    Awaited<ReturnType<typeof joinAll>>[0],
    Awaited<ReturnType<typeof joinAll>>[0],
  ]
  expect(await refusal(client.request("round.progress", new Uint8Array(LIMITS.frameBytesMax + 1)))).toBe(
    "FRAME_TOO_LARGE",
  )
  await client.send(3, 1, new Uint8Array(4 * 1024 * 1024))
  expect(await client.closed).toBe(1009)
  expect((await other.next("")).wait).toBeDefined()
})

test("a message in more fragments than anybody needs ends its connection", async () => {
  const coordinator = await coordinatorOn()
  const socket = new WebSocket(`${coordinator.url.replace("http", "ws")}/v1/socket`)
  const closed = new Promise<number>((resolve) => socket.once("close", resolve))
  await once(socket, "open")
  // 64 fragments are allowed; this message never ends
  for (let i = 0; i < 80; i++) socket.send("x", { fin: false })
  expect(await closed).toBeGreaterThanOrEqual(1_000)
  expect((await fetch(`${coordinator.url}/healthz`)).status).toBe(200)
})

test("a socket that opens no session is closed after a while, one with a session stays", async () => {
  const coordinator = await coordinatorOn(emptyFolder(), { sessionMs: 1_000 })
  const [north] = await joinAll(coordinator, "north")
  const idle = clientOf(coordinator, "idle")
  expect(await idle.closed).toBe(1008)
  expect((await north!.next("")).wait).toBeDefined()
})

test("the last socket of a client that goes makes it a client that left", async () => {
  const coordinator = await coordinatorOn()
  const identity = generateIdentity()
  const [one, two] = [clientOf(coordinator, "north", identity), clientOf(coordinator, "north", identity)]
  await one.open()
  await two.open()
  const left: string[] = []
  coordinator.on("clientLeft", ({ client }) => left.push(client))
  one.close()
  await two.next("")
  const health = async () =>
    ((await (await fetch(`${coordinator.url}/healthz`)).json()) as { connectedClients: number }).connectedClients
  expect(await health()).toBe(1)
  expect(left).toEqual([])
  const gone = nextEvent(coordinator, "clientLeft")
  two.close()
  expect((await gone).client).toBe("north")
  expect(await health()).toBe(0)
})

test("a second coordinator on the same data folder is refused until the first is closed", async () => {
  const dataDir = emptyFolder()
  const first = await coordinatorOn(dataDir)
  await expect(coordinatorOn(dataDir)).rejects.toMatchObject({
    code: "RUN_STATE",
    message: expect.stringContaining(dataDir) as string,
  })
  await first.close()
  const second = await coordinatorOn(dataDir)
  expect(second.federationId).toBe(first.federationId)
  expect(second.adminToken).toBe(first.adminToken)
})

test("only the admin may start and cancel runs over HTTP", async () => {
  const coordinator = await coordinatorOn()
  const [client] = await joinAll(coordinator, "north")
  const post = (path: string, token: string, body?: unknown) =>
    fetch(`${coordinator.url}${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify(body ?? {}),
    })
  expect((await post("/v1/runs", client!.token, runRequest())).status).toBe(401)
  const created = await post("/v1/runs", coordinator.adminToken, runRequest())
  expect(created.status).toBe(201)
  const run = (await created.json()) as { id: string; state: string }
  expect(run.state).toBe("active")
  const wrong = await post("/v1/runs", coordinator.adminToken, { ...runRequest(), modules: [] })
  expect([wrong.status, ((await wrong.json()) as { code: string }).code]).toEqual([400, "RECIPE_INVALID"])
  expect((await post(`/v1/runs/${run.id}/cancel`, client!.token)).status).toBe(401)
  expect(
    ((await (await post(`/v1/runs/${run.id}/cancel`, coordinator.adminToken)).json()) as { state: string }).state,
  ).toBe("cancelled")
  expect((await post(`/v1/runs/${run.id}/cancel`, coordinator.adminToken)).status).toBe(409)
  expect((await post("/v1/runs/none/cancel", coordinator.adminToken)).status).toBe(404)
})
