import pino from "pino"

import { CoordinatorEvents } from "./coordinator/events.js"
import { logNews } from "./news.js"

/** The lines of a log of this level about what was told; without pino's own fields. */
function linesAt(level: string, tell: (events: CoordinatorEvents) => void): Record<string, unknown>[] {
  const lines: Record<string, unknown>[] = []
  const logger = pino({ level, base: null, timestamp: false }, { write: (line) => lines.push(JSON.parse(line)) })
  const events = new CoordinatorEvents(() => undefined)
  logNews(events, logger)
  tell(events)
  return lines
}

const [info, warn, error, debug] = [30, 40, 50, 20] // pino's levels
const of = { runId: "r", round: 1 }

test("a run is a line for each of its turns, with fields to look for", () => {
  const lines = linesAt("info", (events) => {
    events.tell("runCreated", { runId: "r", name: "test", rounds: 2 })
    events.tell("runResumed", { runId: "r", name: "test", rounds: 2 })
    events.tell("runWaiting", { ...of, reason: "round 1 starts when 2 clients are there, 1 is" })
    events.tell("roundOpened", { ...of, clients: ["north", "south"] })
    events.tell("clientDeclined", { ...of, clientId: "c1", client: "south", code: "STORAGE_FULL", reason: "full" })
    events.tell("roundSealed", { ...of, accepted: 1, cohort: 2 })
    events.tell("roundPublished", { ...of, adapterHash: "ab", report: { updates: 1, rank: 4 } as never })
    events.tell("roundAbandoned", { ...of, reason: "quorum-missed" })
    events.tell("runStalled", { runId: "r", error: new Error("no base") })
    events.tell("runEnded", { runId: "r", state: "failed", reason: "quorum-missed" })
    events.tell("runEnded", { runId: "r", state: "done" })
  })
  const at = { run: "r", round: 1 }
  expect(lines).toEqual([
    { level: info, run: "r", name: "test", rounds: 2, msg: "a run begins" },
    { level: info, run: "r", name: "test", rounds: 2, msg: "a run goes on" },
    {
      ...{ level: info, ...at, msg: "a run waits for clients" },
      reason: "round 1 starts when 2 clients are there, 1 is",
    },
    { level: info, ...at, clients: 2, msg: "a round is open" },
    { level: warn, ...at, client: "south", code: "STORAGE_FULL", reason: "full", msg: "a client brings no update" },
    { level: info, ...at, accepted: 1, of: 2, msg: "a round is sealed" },
    { level: info, ...at, updates: 1, rank: 4, adapterHash: "ab", msg: "a round is published" },
    { level: warn, ...at, reason: "quorum-missed", msg: "a round is abandoned" },
    {
      ...{ level: error, run: "r", msg: "a run could not go on; it is tried again" },
      err: expect.objectContaining({ message: "no base" }) as unknown,
    },
    { level: warn, run: "r", state: "failed", reason: "quorum-missed", msg: "a run is over" },
    { level: info, run: "r", state: "done", msg: "a run is over" },
  ])
})

test("a thousand clients that come and go are for debug alone", () => {
  const tell = (events: CoordinatorEvents) => {
    events.tell("clientJoined", { clientId: "c1", client: "north" })
    events.tell("clientLeft", { clientId: "c1", client: "north" })
  }
  expect(linesAt("info", tell)).toEqual([])
  const who = { level: debug, clientId: "c1", client: "north" }
  expect(linesAt("debug", tell)).toEqual([
    { ...who, msg: "a client joined" },
    { ...who, msg: "a client left" },
  ])
})
