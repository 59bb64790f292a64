import type { Logger } from "pino"

import type { CoordinatorEvents } from "./coordinator/events.js"

/**
 * The coordinator's work in its log: a line for what happens to a run or a round, at `info` and above. Clients come
 * and go by the thousand: theirs are at `debug`.
 */
export function logNews(events: CoordinatorEvents, logger: Logger): void {
  events.on("runCreated", ({ runId: run, name, rounds }) => logger.info({ run, name, rounds }, "a run begins"))
  events.on("runResumed", ({ runId: run, name, rounds }) => logger.info({ run, name, rounds }, "a run goes on"))
  events.on("runWaiting", ({ runId: run, round, reason }) =>
    logger.info({ run, round, reason }, "a run waits for clients"),
  )
  events.on("roundOpened", ({ runId: run, round, clients }) =>
    logger.info({ run, round, clients: clients.length }, "a round is open"),
  )
  events.on("clientDeclined", ({ runId: run, round, client, code, reason }) =>
    logger.warn({ run, round, client, code, reason }, "a client brings no update"),
  )
  events.on("roundSealed", ({ runId: run, round, accepted, cohort }) =>
    logger.info({ run, round, accepted, of: cohort }, "a round is sealed"),
  )
  events.on("roundPublished", ({ runId: run, round, adapterHash, report }) =>
    logger.info({ run, round, updates: report.updates, rank: report.rank, adapterHash }, "a round is published"),
  )
  events.on("roundAbandoned", ({ runId: run, round, reason }) =>
    logger.warn({ run, round, reason }, "a round is abandoned"),
  )
  events.on("runStalled", ({ runId: run, error }) =>
    logger.error({ err: error, run }, "a run could not go on; it is tried again"),
  )
  events.on("runEnded", ({ runId: run, state, reason }) =>
    logger[state === "failed" ? "warn" : "info"]({ run, state, reason }, "a run is over"),
  )
  events.on("clientJoined", (who) => logger.debug(who, "a client joined"))
  events.on("clientLeft", (who) => logger.debug(who, "a client left"))
}
