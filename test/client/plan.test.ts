import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { LaminaClient } from "@lamina/client"
import type { LaminaClientOptions, TrainingTask } from "@lamina/client"
import { hash, identityFromSeed } from "@lamina/crypto"
import { encodeAdapter } from "@lamina/protocol"
import type { Adapter } from "@lamina/protocol"

import { deterministicTrainer } from "./deterministic-trainer.mjs"
import { WireServer } from "./wire-server.js"
import type { WireOptions } from "./wire-server.js"

/** What a client makes of the fields of its plan, over real sockets. */
let folder: string
const servers: WireServer[] = []
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "lamina-plan-"))
})
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop()
  await rm(folder, { recursive: true, force: true })
})

async function serve(options: WireOptions): Promise<WireServer> {
  const server = await new WireServer(options).start()
  servers.push(server)
  return server
}

const MODULE = { name: "layer.q_proj", outFeatures: 3, inFeatures: 2 }
const PLANNED = { ...MODULE, rank: 2, alpha: 4, startRank: 0 }

function clientOf({ url }: WireServer, more: Partial<LaminaClientOptions> = {}): LaminaClient {
  return new LaminaClient({
    coordinator: url,
    ...{ identity: identityFromSeed(new Uint8Array(32).fill(9)), name: "tester" },
    data: { kind: "documents", documents: ["a"] },
    ...{ workDir: join(folder, "work"), cacheDir: join(folder, "cache"), trainer: deterministicTrainer() },
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
