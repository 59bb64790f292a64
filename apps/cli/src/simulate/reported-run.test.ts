import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { parseRecipe } from "@lamina/protocol/recipe"
import type { RoundView } from "@lamina/server"

import type { ReportedRun } from "../report/simulation-report.js"
import type { Schedule } from "./device-time.js"
import { History } from "./journal.js"
import type { ClientRow } from "./journal.js"
import { reportedRun, runTotals } from "./reported-run.js"
import { VIRTUAL_START_MS } from "./virtual-clock.js"

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "reported-"))
})
afterEach(() => rm(folder, { recursive: true }))

const START_MS = VIRTUAL_START_MS

/** 4 s download, 4 s training, 2 s upload. */
const schedule: Schedule = {
  ...{ startMs: START_MS, downloadedMs: START_MS + 4_000, trainedMs: START_MS + 8_000, endMs: START_MS + 10_000 },
  ...{ fate: "arrives", crashed: false, bytesDown: 1_000, bytesUp: 300, memoryBytes: 1e8 },
}

function viewOf(round: number, state: RoundView["state"]): RoundView {
  return {
    ...{ round, state, cohort: 2, accepted: 0, rejected: 0, runId: "run", headerHash: "00", wanted: 2, quorum: 1 },
    ...{ softDeadlineMs: START_MS + 2e4, hardDeadlineMs: START_MS + 3e4, openedMs: START_MS, members: [] },
    endedMs: START_MS + 10_000 * round,
  }
}

function runOf(
  views: readonly RoundView[],
  ends: readonly { round: number; client: string; outcome: ClientRow["outcome"]; schedule?: Partial<Schedule> }[],
): ReportedRun {
  const history = new History(folder)
  for (const { schedule: own, ...end } of ends) {
    history.add({ kind: "begin", ...end, schedule: { ...schedule, ...own } })
    history.add({ kind: "client", ...end, atMs: START_MS + 10_000 })
  }
  return reportedRun("run", parseRecipe({ name: "run", base: "base" }), {
    ...{ run: "run", rounds: 1, history, scores: [], adapterHash: "00", adapter: "adapter" },
    clients: ["a", "b"].map((name) => ({ name, rank: 8, precision: "q8", device: "default", tokens: 1 })),
    views,
    globalAdapter: { modules: [] },
  })
}

test("the bytes and ends of an abandoned round count in the totals, and its line says that it was abandoned", () => {
  const run = runOf(
    [viewOf(1, "abandoned"), viewOf(2, "published")],
    [
      { round: 1, client: "a", outcome: "accepted" },
      { round: 1, client: "b", outcome: "late" },
      { round: 2, client: "a", outcome: "accepted" },
      { round: 2, client: "b", outcome: "accepted" },
    ],
  )
  // three updates of 300 bytes came in, four devices fetched 1,000 bytes
  expect(runTotals(run)).toMatchObject({ bytesUp: 900, bytesDown: 4_000, virtualSeconds: 20 })
  expect(run.rounds.map(({ round, abandoned }) => [round, abandoned])).toEqual([
    [1, true],
    [2, undefined],
  ])
  expect(run.rounds[0]?.clients.map(({ outcome }) => outcome)).toEqual(["accepted", "late"])
})

test("a client holds the base as its last plan did, one without a plan as it is scored", () => {
  const member = { clientId: "00", client: "a", rank: 8, status: "waiting" } as const
  const views = ["q4", "nf4"].map((precision, i) => {
    return { ...viewOf(i + 1, "published"), members: [{ ...member, precision }] }
  })
  expect(runOf(views, []).clients.map(({ name, precision }) => [name, precision])).toEqual([
    ["a", "nf4"],
    ["b", "q8"],
  ])
})

test("a device that is gone during its download has moved a part of it", () => {
  const gone = (afterMs: number): Partial<Schedule> => ({ fate: "drops", endMs: START_MS + afterMs })
  const run = runOf(
    [viewOf(1, "published")],
    [
      { round: 1, client: "a", outcome: "dropped", schedule: gone(1_000) },
      { round: 1, client: "b", outcome: "dropped", schedule: gone(5_000) },
    ],
  )
  // after 1 s of 4 s a quarter of 1,000 bytes; after 5 s it was through with the download
  expect(run.rounds[0]?.clients.map(({ bytesDown, bytesUp }) => [bytesDown, bytesUp])).toEqual([
    [250, 0],
    [1_000, 0],
  ])
})

test("a turn's training loss is what the coordinator was told, whatever steps the history has", () => {
  const member = { clientId: "00", client: "a", rank: 8, precision: "q8", status: "accepted" } as const
  const told = { ...viewOf(1, "published"), members: [{ ...member, metrics: { firstLoss: 5, lastLoss: 4.25 } }] }
  const run = runOf(
    [told],
    [
      { round: 1, client: "a", outcome: "accepted" },
      { round: 1, client: "b", outcome: "late" },
    ],
  )
  expect(run.rounds[0]?.clients.map(({ loss }) => loss)).toEqual([4.25, undefined])
})
