import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { LIMITS, messages } from "@lamina/protocol"
import type { AdapterModule } from "@lamina/protocol"

import { inspect } from "./inspect.js"
import { sealedUpdate } from "./testing/sealed-update.js"

let folder: string
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), "lamina-inspect-"))))
afterEach(() => rmSync(folder, { recursive: true }))

/** 1.2 MB of A: some twenty segments, opened by another thread. */
const [features, rank] = [100_000, 3]

const plan = messages.Plan.encode({
  modules: [{ name: "m", outFeatures: 4, inFeatures: features, rank, alpha: 1, startRank: 0 }],
  ...({ scaling: "lora", precision: "f32", schedule: "constant", lossOn: "all" } as const),
  ...{ dropout: 0, steps: 1, batch: 1, context: 8, accumulate: 1, learningRate: 1e-3, warmupSteps: 0, clipNorm: 1 },
  ...{ weightDecay: 0, seed: 1, downloadBytesMax: 0, proximal: 0, gradientCheckpointing: false, initSeed: 1 },
  ...{ freezeA: false, globalAdapterHash: new Uint8Array(0), reportScores: false, mergeGlobal: false },
})

function verdictOn(change?: (module: AdapterModule) => void) {
  const update = { ...sealedUpdate(folder, 1, features, rank, change), plan }
  return inspect({ kind: "inspect", update, secret: update.secret })
}

test("an update of many segments whose values are within bounds is accepted", async () => {
  expect(await verdictOn(({ a }) => a.fill(-LIMITS.valueMax, 7, 299_990))).toMatchObject({ verdict: "accepted" })
})

const next = Math.fround(LIMITS.valueMax * (1 + 2 ** -23))
test.each([
  ["a", 0, NaN],
  ["a", 16_300, -Infinity],
  ["a", 123_456, next],
  ["a", 299_999, -next],
  ["b", 0, NaN],
  ["b", 11, Infinity],
] as const)("a value that is not within them is found wherever it is: %s[%i] = %d", async (side, at, value) => {
  const verdict = await verdictOn((module) => void (module[side][at] = value))
  expect(verdict).toMatchObject({ verdict: "UPDATE_NOT_FINITE" })
  expect((verdict as { message: string }).message).toContain(`m.${side}[${at}]`)
})
