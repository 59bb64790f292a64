import { once } from "node:events"
import { createServer } from "node:http"
import { connect } from "node:net"
import type { AddressInfo } from "node:net"
import { setTimeout } from "node:timers/promises"

import { encodeSocketRequest } from "@lamina/protocol"
import { WebSocket } from "ws"

import { SocketAdapter } from "./socket-adapter.js"
import type { ControlSocket } from "./socket-adapter.js"

const ended: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const end of ended.splice(0)) await end()
})

/** An adapter on a server of its own, and the sockets it met. */
async function adapterOn(heartbeatMs?: number) {
  const http = createServer().listen(0, "127.0.0.1")
  await once(http, "listening")
  const adapter = new SocketAdapter(http, heartbeatMs)
  const server = adapter.create()
  const met: ControlSocket[] = []
  adapter.bindClientConnect(server, (client) => void met.push(client))
  const close = () => adapter.close(server)
  ended.push(async () => {
    await close()
    http.close()
  })
  return { url: `ws://127.0.0.1:${(http.address() as AddressInfo).port}`, met, close, adapter }
}

async function opened(url: string, options: { autoPong?: boolean } = {}): Promise<WebSocket> {
  const socket = new WebSocket(url, options)
  await once(socket, "open")
  return socket
}

test("a client that answers no ping is gone after two heartbeats, one that does stays", async () => {
  const { url } = await adapterOn(100)
  const [silent, alive] = [await opened(`${url}/v1/socket`, { autoPong: false }), await opened(`${url}/v1/socket`)]
  let pings = 0
  alive.on("ping", () => (pings += 1))
  await once(silent, "close")
  while (pings < 3) await once(alive, "ping")
  expect(alive.readyState).toBe(WebSocket.OPEN)
})

test("another path is no socket", async () => {
  const { url, met } = await adapterOn()
  const socket = new WebSocket(`${url}/v1/other`)
  const [error] = (await once(socket, "error")) as [Error]
  expect(error.message).toContain("400")
  expect(met).toHaveLength(0)
})

/** Answers `round.next` so; resolves with the code of the close at the first client's end. */
async function asking(answer: () => Promise<Uint8Array>, requests: number) {
  const { url, met, adapter } = await adapterOn()
  const socket = await opened(`${url}/v1/socket`)
  const [client] = met
  adapter.bindMessageHandlers(client!, [{ message: "round.next", callback: answer, isAckHandledManually: false }])
  const closed = once(socket, "close").then(([code]) => code as number)
  for (let id = 0; id < requests; id++) socket.send(encodeSocketRequest("round.next", id, new Uint8Array(0)))
  return { socket, client: client!, closed }
}

test("requests that wait for their replies are a thousand at once and little more", async () => {
  let [asked, answer] = [0, (): void => undefined]
  const wait = new Promise<void>((resolve) => (answer = resolve))
  const { socket, client, closed } = await asking(async () => {
    asked += 1
    await wait
    return new Uint8Array(0)
  }, 1_000)
  while (asked < 1_000) await setTimeout(5)
  const replies = new Promise<void>((resolve) => {
    let came = 0
    socket.on("message", () => (came += 1) === 1_000 && resolve())
  })
  answer()
  await replies
  expect([client.waitingBytes, socket.readyState]).toEqual([0, WebSocket.OPEN])
  socket.terminate()
  await closed
  const { closed: expelled } = await asking(() => new Promise(() => undefined), 1_023)
  expect(await expelled).toBe(1008)
})

test("a client that asks and does not read is let go before it fills the memory", async () => {
  const { socket, client } = await asking(async () => new Uint8Array(2 ** 20), 0)
  socket.pause()
  const gone = once(client, "close")
  for (let id = 0; client.readyState === WebSocket.OPEN && id < 200; id++) {
    socket.send(encodeSocketRequest("round.next", id, new Uint8Array(0)))
    await setTimeout(5)
  }
  expect((await gone)[0]).toBe(1006)
  expect(client.bufferedAmount).toBeLessThan(16 * 2 ** 20)
  socket.terminate()
}, 20_000)

test("pings that nobody reads the answers of count as well", async () => {
  const { url, met } = await adapterOn()
  const socket = await opened(`${url}/v1/socket`)
  const [client] = met
  socket.pause()
  const gone = once(client!, "close")
  const payload = new Uint8Array(125)
  for (let i = 0; client!.readyState === WebSocket.OPEN && i < 500; i++) {
    for (let k = 0; k < 1_000; k++) socket.ping(payload)
    await setTimeout(1)
  }
  expect((await gone)[0]).toBe(1006)
  socket.terminate()
}, 30_000)

test("a request that fails in a way that no handler should ends its socket, not the coordinator", async () => {
  const { closed } = await asking(() => Promise.reject(new Error("a bug")), 1)
  expect(await closed).toBe(1006)
  const { closed: other } = await asking(() => Promise.resolve(undefined as unknown as Uint8Array), 1)
  expect(await other).toBe(1006)
})

test("what comes behind the message that ended a socket is not looked at", async () => {
  let asked = 0
  const { socket, closed } = await asking(async () => {
    asked += 1
    return new Uint8Array(0)
  }, 0)
  socket.send("text")
  socket.send(encodeSocketRequest("round.next", 1, new Uint8Array(0)))
  expect(await closed).toBe(1003)
  expect(asked).toBe(0)
})

test("a client that hung up and never reads does not hold up the end", async () => {
  const { url, met, close } = await adapterOn()
  const raw = connect(Number(new URL(url).port), "127.0.0.1")
  const key = "dGhlIHNhbXBsZSBub25jZQ=="
  const upgrade = `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}`
  raw.write(`GET /v1/socket HTTP/1.1\r\nHost: x\r\n${upgrade}\r\n\r\n`)
  await once(raw, "data")
  raw.pause()
  const [client] = met
  client!.send(new Uint8Array(2 ** 24)) // more than sockets hold
  raw.end()
  while (client!.readyState === WebSocket.OPEN) await setTimeout(5)
  await close()
  expect(client!.readyState).toBe(WebSocket.CLOSED)
  raw.destroy()
}, 10_000)

test("who closes tells everybody so, and does not wait for those that do not listen", async () => {
  const { url, close } = await adapterOn()
  const [polite, deaf] = [await opened(`${url}/v1/socket`), await opened(`${url}/v1/socket`)]
  deaf.pause()
  const code = once(polite, "close")
  await close()
  expect((await code)[0]).toBe(1001)
  deaf.terminate()
}, 10_000)
