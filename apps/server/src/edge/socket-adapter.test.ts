import { once } from "node:events"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"

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
  return { url: `ws://127.0.0.1:${(http.address() as AddressInfo).port}`, met, close }
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

test("who closes tells everybody so, and does not wait for those that do not listen", async () => {
  const { url, close } = await adapterOn()
  const [polite, deaf] = [await opened(`${url}/v1/socket`), await opened(`${url}/v1/socket`)]
  deaf.pause()
  const code = once(polite, "close")
  await close()
  expect((await code)[0]).toBe(1001)
  deaf.terminate()
}, 10_000)
