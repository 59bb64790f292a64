import { mkdir } from "node:fs/promises"
import { join } from "node:path"

import { letPoolGiveWay, toHex } from "@lamina/crypto"
import { LaminaError } from "@lamina/protocol/errors"
import pino from "pino"
import type { Logger } from "pino"

import { openDiskBlobs } from "./blobs/disk-blobs.js"
import { openSpool } from "./blobs/spool.js"
import { readConfig } from "./config.js"
import type { Config, CoordinatorOptions } from "./config.js"
import { Coordinator } from "./coordinator/coordinator.js"
import { CoordinatorEvents } from "./coordinator/events.js"
import type { CoordinatorEventMap } from "./coordinator/events.js"
import { RunBook } from "./coordinator/run-book.js"
import type { RunSummary } from "./coordinator/run-book.js"
import { parseRunRequest } from "./coordinator/run-request.js"
import type { RunRequestInput } from "./coordinator/run-request.js"
import { Sessions } from "./coordinator/sessions.js"
import type { RoundView } from "./coordinator/views.js"
import { listen } from "./edge/listen.js"
import { openFederation } from "./federation.js"
import { lockDataDir } from "./lock.js"
import { createMetrics } from "./metrics.js"
import { logNews } from "./news.js"
import { makePrivateFolder } from "./private.js"
import { diskFailure } from "./store/disk-errors.js"
import { JobRunner } from "./worker/job-runner.js"

/** Exit status of a process whose disk failed to keep what it was given (sysexits: EX_SOFTWARE). */
const EXIT_DISK = 70

/** What a program that embeds a coordinator may replace: a simulator has a clock of its own. */
export interface CoordinatorRuntime {
  /** ms since 1970. Whoever gives a clock calls `tick` when it moved. */
  readonly now?: () => number
  /** Whether a connected client of this name may be drawn for this round; then no round waits for all clients. */
  readonly present?: (name: string, round: number) => boolean
  /** No round draws its cohort before it is true; a simulator waits until everybody is connected. Default: at once. */
  readonly ready?: () => boolean
}

/** A coordinator that listens. */
export interface RunningCoordinator {
  readonly url: string
  readonly port: number
  readonly adminToken: string
  /** Hex. */
  readonly federationId: string
  /**
   * Starts a run; modules are the base's linear layers that get adapters. Throws RECIPE_INVALID, FILE_UNREADABLE,
   * WEIGHTS_MISSING.
   */
  createRun(request: RunRequestInput): Promise<RunSummary>
  runs(): RunSummary[]
  /** Throws NOT_FOUND. */
  run(id: string): RunSummary
  /** One round with everything known of its cohort. Throws NOT_FOUND. */
  round(runId: string, round: number): Promise<RoundView>
  /** Throws NOT_FOUND, or RUN_STATE where the run is over. */
  cancelRun(id: string): Promise<void>
  /** encodeAdapter bytes of a global adapter. Throws NOT_FOUND or BLOB_CORRUPT. */
  adapter(hash: string): Promise<Uint8Array>
  /** Looks at the clock for every run: deadlines, cohorts to be drawn. For whoever gave the coordinator its clock. */
  tick(): Promise<void>
  on<K extends keyof CoordinatorEventMap>(name: K, listener: (event: CoordinatorEventMap[K]) => void): void
  /**
   * Answers what was asked, writes what was begun, closes every socket and the database. Runs go on at the next
   * start.
   */
  close(): Promise<void>
}

/**
 * Starts the coordinator on a data folder (made when missing) and goes on with its unfinished runs. Throws USAGE for
 * wrong options, RUN_STATE where another coordinator holds the folder, FILE_UNWRITABLE where it cannot be made or
 * written to, FILE_UNREADABLE where its key is damaged, or the key or the database is missing. A disk that fails, or a
 * database that is damaged, ends the process with status 70, and stderr says why: nothing is acknowledged that is not
 * durable. From then on the threads of Node's pool give way to the event loop (letPoolGiveWay of @lamina/kernels).
 */
export async function startCoordinator(
  options: CoordinatorOptions,
  runtime: CoordinatorRuntime = {},
): Promise<RunningCoordinator> {
  const config = readConfig(options)
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 }).catch((cause: NodeJS.ErrnoException) => {
    throw new LaminaError(
      "FILE_UNWRITABLE",
      `expected a folder at ${config.dataDir}, got ${cause.code ?? cause.message}`,
      {
        cause,
        hint: "choose another data directory",
      },
    )
  })
  const lock = lockDataDir(config.dataDir)
  try {
    return await start(config, runtime, () => lock.release())
  } catch (error) {
    lock.release()
    throw error
  }
}

async function start(config: Config, runtime: CoordinatorRuntime, unlock: () => void): Promise<RunningCoordinator> {
  const logger = pino({ name: "lamina", level: config.logLevel }, pino.destination(2))
  letPoolGiveWay()
  const parts = await openParts(config, runtime, logger)
  const { coordinator, store, spool, identity, worker, events, closing } = parts
  await coordinator.resume()
  const edge = await listen(coordinator, { config, logger, identity })
  const timer = runtime.now ? undefined : setInterval(() => void coordinator.tick(), config.tickMs)
  logger.info({ url: edge.url, dataDir: config.dataDir }, "the coordinator listens")
  let closed: Promise<void> | undefined
  const close = async () => {
    clearInterval(timer)
    closing()
    await edge.close()
    await worker.close()
    await coordinator.settled()
    await spool.close()
    await store.close()
    unlock()
  }
  return {
    url: edge.url,
    port: edge.port,
    adminToken: identity.adminToken,
    federationId: toHex(identity.federationId),
    createRun: async (request) => coordinator.views.run(await coordinator.createRun(parseRunRequest(request))),
    runs: () => coordinator.views.runs(),
    run: (id) => coordinator.views.run(id),
    round: (runId, round) => coordinator.views.round(runId, round),
    cancelRun: (id) => coordinator.cancelRun(id),
    adapter: (hash) => coordinator.adapter(hash),
    tick: () => coordinator.tick(),
    on: (name, listener) => events.on(name, listener),
    close: () => (closed ??= close()),
  }
}

async function openParts(config: Config, runtime: CoordinatorRuntime, logger: Logger) {
  const { dataDir, software, joinToken, patienceMs } = config
  const { now = () => Date.now(), ready = () => true, present } = runtime
  const onDiskFailure = (error: Error) => {
    logger.fatal({ err: error }, "the disk failed to keep what it was given; nothing more is acknowledged")
    const { code, message, hint } = diskFailure(dataDir, error)
    process.stderr.write(`lamina: error: ${message} [${code}]\nlamina: hint: ${hint}\n`) // whatever the log level
    process.exit(EXIT_DISK)
  }
  const [blobFolder, spoolFolder] = [join(dataDir, "adapters"), join(dataDir, "uploads")]
  for (const folder of [blobFolder, spoolFolder]) makePrivateFolder(folder)
  const { identity, store, createdMs } = await openFederation(dataDir, { nowMs: now(), onDiskFailure })
  const events = new CoordinatorEvents((error) => logger.error({ err: error }, "an observer failed"))
  logNews(events, logger)
  const worker = new JobRunner()
  let isClosing = false
  const shared = {
    identity,
    store,
    blobs: openDiskBlobs(blobFolder, onDiskFailure),
    blobFolder,
    spool: openSpool(spoolFolder, onDiskFailure),
    worker,
    sessions: new Sessions({ identity, store, events, now, software, joinToken }),
    book: await RunBook.load(store),
    events,
    metrics: createMetrics(),
    logger,
    now,
    patienceMs,
    present,
    ready,
    closing: () => isClosing,
  }
  const closing = () => {
    isClosing = true
  }
  const coordinator = new Coordinator(shared, { software, createdMs })
  return { coordinator, store, spool: shared.spool, identity, worker, events, closing }
}
