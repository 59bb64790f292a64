import { once } from "node:events"
import { createServer } from "node:net"
import type { AddressInfo } from "node:net"

import { messages } from "@lamina/protocol"
import { WebSocketServer } from "ws"

import { connectLink, TransportError } from "./link.js"
import type { LinkOptions } from "./link.js"

let server: WebSocketServer
beforeEach(async () => {
  server = new WebSocketServer({ port: 0, host: "127.0.0.1" })
  await once(server, "listening")
})
afterEach(() => {
  for (const client of server.clients) client.terminate()
  server.close()
})

const never = new AbortController().signal
const url = (): URL => new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/behind/a/proxy/`)
const connect = ({ url: address = url(), ...more }: Partial<LinkOptions> = {}) =>
  connectLink({ url: address, requestTimeoutMs: 200, onHint: () => undefined, ...more }, never)
const ask = { runId: "", afterRound: 0 }

test("the path of the coordinator's address is kept, and no compression is offered", async () => {
  const met = once(server, "connection")
  const link = await connect()
  const [, request] = (await met) as [unknown, { url: string; headers: Record<string, string> }]
  expect(request.url).toBe("/behind/a/proxy/v1/socket")
  expect(request.headers["sec-websocket-extensions"]).toBeUndefined()
  link.close()
})

test("a coordinator that gives no sign of life is a connection that is lost; a ping is one", async () => {
  const link = await connect({ silenceMs: 1_000 })
  const [socket] = server.clients
  const pinging = setInterval(() => socket!.ping(), 50)
  const lost = link.lost.then(() => "lost")
  expect(await Promise.race([lost, new Promise((resolve) => setTimeout(() => resolve("there"), 2_500))])).toBe("there")
  clearInterval(pinging)
  expect(await lost).toBe("lost")
  await expect(link.request("round.next", ask)).rejects.toThrow(TransportError)
})

test("a request without an answer in time is a TransportError, and its late answer nobody's", async () => {
  server.once("connection", (socket) => {
    socket.once("message", (message: Buffer) => {
      const late = Buffer.concat([Uint8Array.of(0x80), message.subarray(1, 5)])
      setTimeout(() => socket.send(late), 300)
    })
  })
  const link = await connect()
  await expect(link.request("round.next", ask)).rejects.toThrow(/no answer within 200 ms/)
  await new Promise((resolve) => setTimeout(resolve, 200))
  await expect(link.request("round.next", ask)).rejects.toThrow(/no answer within 200 ms/) // the link still stands
  link.close()
})

test("a coordinator that sends no challenge in time is worth another attempt; one that is none is not", async () => {
  const link = await connect()
  await expect(link.challenge).rejects.toThrow(/challenge: no answer within 200 ms/)
  link.close()
  server.once("connection", (socket) => socket.send(Uint8Array.of(0x82, 0xff, 0xff)))
  const next = await connect()
  await expect(next.challenge).rejects.toMatchObject({ code: "FRAME_MALFORMED" })
  next.close()
})

test("answers find their requests, in whatever order they come", async () => {
  server.once("connection", (socket) => {
    const seen: Buffer[] = []
    socket.on("message", (message: Buffer) => {
      seen.push(message)
      if (seen.length < 3) return
      for (const each of seen.reverse()) {
        const { afterRound } = messages.NextTask.decode(each.subarray(5))
        const wait = messages.NextTaskReply.encode({ wait: { retryAfterMs: afterRound, reason: "" } })
        socket.send(Buffer.concat([Uint8Array.of(0x80), each.subarray(1, 5), messages.Reply.encode({ ok: wait })]))
      }
    })
  })
  const link = await connect()
  const answers = await Promise.all([5, 6, 7].map((afterRound) => link.request("round.next", { ...ask, afterRound })))
  expect(answers).toMatchObject([5, 6, 7].map((retryAfterMs) => ({ ok: { wait: { retryAfterMs } } })))
  link.close()
})

test("a connection that goes fails what waits for an answer at once", async () => {
  const link = await connect({ requestTimeoutMs: 60_000 })
  const waiting = link.request("round.next", ask)
  for (const client of server.clients) client.close(1001, "the coordinator stops")
  await expect(waiting).rejects.toThrow(/the coordinator stops/)
  expect(await link.lost).toBe("the coordinator stops")
})

test("an abort ends the attempt to connect", async () => {
  const mute = createServer().listen(0, "127.0.0.1") // takes the connection and answers nothing
  await once(mute, "listening")
  const stop = new AbortController()
  mute.once("connection", () => stop.abort(new Error("enough")))
  const address = new URL(`http://127.0.0.1:${(mute.address() as AddressInfo).port}`)
  const options = { url: address, requestTimeoutMs: 60_000, onHint: () => undefined }
  await expect(connectLink(options, stop.signal)).rejects.toThrow("enough")
  mute.close()
})

test("a name with several addresses fails with the system's word for each", async () => {
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, "close")
  await expect(connect({ url: new URL(`http://localhost:${port}`) })).rejects.toThrow(/cannot connect: .*ECONNREFUSED/)
})
