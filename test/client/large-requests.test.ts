import type { ServerResponse } from "node:http"
import { join } from "node:path"

import { LaminaClient } from "@lamina/client"
import { LIMITS } from "@lamina/protocol"

import { deterministicTrainer } from "./deterministic-trainer.mjs"
import type { WireOptions, WireServer } from "./wire-server.js"
import { WireServers } from "./wire-servers.js"

/** What a client does where something on its way takes no large requests, over real sockets. */
const wire = new WireServers("large-requests")
const serve = (options?: WireOptions): Promise<WireServer> => wire.serve(options)

function clientOf(coordinator: string): LaminaClient {
  return new LaminaClient({
    ...{ coordinator, name: "tester", workDir: join(wire.folder, "work"), cacheDir: join(wire.folder, "cache") },
    data: { kind: "documents", documents: ["a"] },
    trainer: deterministicTrainer(),
    random: () => 0.01, // retries within a few milliseconds
  })
}

/** 1.4 MB of tensors: an envelope of six chunks of 256 KiB. */
const wide = { name: "wide", outFeatures: 1_400, inFeatures: 1_400, rank: 128, alpha: 128, startRank: 0 }

test.each([
  ["a proxy's page", (response: ServerResponse) => response.writeHead(413).end("<html>too large</html>")],
  [
    "another coordinator's refusal",
    (response: ServerResponse) =>
      response.writeHead(413).end(JSON.stringify({ code: "FRAME_TOO_LARGE", message: "one chunk at most" })),
  ],
  ["an end of the connection", (response: ServerResponse) => response.destroy()],
])("where no request with several chunks comes through (%s), each goes by itself", async (_, refuse) => {
  let refused = 0
  const { url, uploads } = await serve({
    plan: { modules: [wide] },
    hooks: {
      http: (request, response) => {
        if (request.method !== "PUT" || Number(request.headers["content-length"]) <= LIMITS.chunkBytes) return false
        refused += 1
        request.resume().once("end", () => refuse(response))
        return true
      },
    },
  })
  expect((await clientOf(url).participate()).rounds).toMatchObject([{ outcome: "accepted" }])
  expect([...uploads.values()].map(({ chunks }) => chunks.size)).toEqual([6])
  expect(refused).toBeGreaterThan(0)
})

test("a request that a proxy refused for its size is not tried again with the next round", async () => {
  const refused: number[] = []
  const rounds = 3
  const { url, uploads } = await serve({
    rounds,
    plan: { modules: [wide] },
    hooks: {
      http: (request, response) => {
        if (request.method !== "PUT" || Number(request.headers["content-length"]) <= 2 * LIMITS.chunkBytes) return false
        refused.push(uploads.size)
        request.resume().once("end", () => response.writeHead(413).end("<html>too large</html>"))
        return true
      },
    },
  })
  const accepted = Array.from({ length: rounds }, () => ({ outcome: "accepted" }))
  expect((await clientOf(url).participate()).rounds).toMatchObject(accepted)
  expect([...uploads.values()].map(({ chunks }) => chunks.size)).toEqual([6, 6, 6])
  // while the first was on its way, and then no more
  expect(new Set(refused)).toEqual(new Set([1]))
})

test("the end of an envelope goes along with eight whole chunks before it", async () => {
  const sent: number[] = []
  const { url, uploads } = await serve({
    rounds: 2,
    plan: { modules: [{ ...wide, rank: 190 }] },
    hooks: {
      http: (request) => {
        if (request.method === "PUT" && uploads.size === 2) sent.push(Number(request.headers["content-length"]))
        return false
      },
    },
  })
  const accepted = [{ outcome: "accepted" }, { outcome: "accepted" }]
  expect((await clientOf(url).participate()).rounds).toMatchObject(accepted)
  expect([...uploads.values()].map(({ chunks }) => chunks.size)).toEqual([9, 9])
  // by the second round a request carries as many as it may
  expect(sent.map((bytes) => Math.floor(bytes / LIMITS.chunkBytes))).toEqual([8])
})
