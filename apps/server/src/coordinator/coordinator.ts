import { hash, randomBytes, rootOf, toHex, utf8 } from "@lamina/crypto"
import type {
  Decline,
  NextTask,
  NextTaskReply,
  Progress,
  Receipt,
  TaskOffer,
  UploadCommit,
  UploadOpen,
  UploadTicket,
} from "@lamina/protocol"
import { errorCodeOfWire, LaminaError } from "@lamina/protocol/errors"

import type { Metrics } from "../metrics.js"
import type { RoundTerms } from "../round/round.js"
import type { RoundRow, RunRow } from "../store/schema.js"
import { Bases, describeBase } from "./bases.js"
import { Commits } from "./commits.js"
import type { CoordinatorContext } from "./context.js"
import { bytesOf } from "./hex.js"
import { ProgressBoard } from "./progress-board.js"
import { withoutShape } from "./planned-modules.js"
import { RunDriver } from "./run-driver.js"
import type { RunRequest } from "./run-request.js"
import { Uploads } from "./uploads.js"
import type { Chunks } from "./uploads.js"
import { Views } from "./views.js"

/** A client that heard nothing asks again after this; hints make it sooner. */
const ASK_AGAIN_MS = 15_000
/** Runs that a client without a task is told of; each in less than 100 bytes of the 1,000 that a reason may have. */
const REASONS_MAX = 5

type Shared = Omit<CoordinatorContext, "retire" | "forgetUploads">

/** Owns every effect of the federation: runs, rounds, uploads. The edge only decodes, asks here, and encodes. */
export class Coordinator {
  readonly bases: Bases
  readonly views: Views
  readonly metrics: Metrics
  readonly #context: CoordinatorContext
  readonly #drivers = new Map<string, RunDriver>()
  readonly #uploads: Uploads
  readonly #commits: Commits
  readonly #progress = new ProgressBoard()
  #looking = false
  #removing: Promise<void> = Promise.resolve()

  constructor(shared: Shared, setting: { readonly software: string; readonly createdMs: number }) {
    this.#context = {
      ...shared,
      retire: (driver) => this.#drivers.delete(driver.id),
      forgetUploads: () => this.#forgetUploads(),
    }
    this.metrics = shared.metrics
    this.bases = new Bases(shared.store)
    this.views = new Views(this.#context, { ...setting, progress: this.#progress })
    this.#uploads = new Uploads(this.#context)
    this.#commits = new Commits(this.#context, this.#uploads)
    for (const name of ["clientJoined", "clientLeft"] as const)
      shared.events.on(name, () => this.metrics.connectedClients.set(this.sessions.connected.size))
    shared.events.on("clientJoined", () => this.#lookSoon())
    for (const name of ["roundPublished", "roundAbandoned"] as const)
      shared.events.on(name, ({ runId, round }) => this.#progress.forget(runId, round))
  }

  get sessions() {
    return this.#context.sessions
  }

  get events() {
    return this.#context.events
  }

  /** Goes on with every run that is not over, from the store alone, and removes files nobody owns. */
  async resume(): Promise<void> {
    const { store, spool, book, events } = this.#context
    await this.#forgetUploads()
    await this.#removing
    const owned = new Set(await store.uploadIds())
    for (const id of await spool.ids()) if (!owned.has(id)) await spool.remove(id)
    for (const row of await store.runs()) {
      if (row.state !== "active") continue
      events.tell("runResumed", { runId: row.id, name: row.name, rounds: book.standing(row.id).roundsPlanned })
      await this.#drive(row)
    }
  }

  /**
   * Starts a run and returns its id. Throws FILE_UNREADABLE or WEIGHTS_MISSING where the base is not to be read, and
   * RECIPE_INVALID for `fedpipe` without the base's sizes.
   */
  async createRun({ recipe, base, modules }: RunRequest): Promise<string> {
    const { store, book, events, now } = this.#context
    if (recipe.strategy === "fedpipe" && !base.shape) throw withoutShape()
    const described = await describeBase(base.folder)
    const text = JSON.stringify(recipe)
    const row: RunRow = {
      id: `${recipe.name.slice(0, 50)}-${toHex(randomBytes(4))}`,
      name: recipe.name,
      recipe: text,
      recipe_hash: toHex(hash(utf8(text))),
      base_hash: described.row.hash,
      modules: JSON.stringify(modules),
      shape: base.shape === undefined ? null : JSON.stringify(base.shape),
      state: "active",
      reason: null,
      global_adapter_hash: null,
      created_ms: now(),
      ended_ms: null,
    }
    await store.createRun(row, described)
    book.add(row)
    events.tell("runCreated", { runId: row.id, name: row.name, rounds: recipe.rounds })
    await this.#drive(row)
    return row.id
  }

  /** Throws NOT_FOUND, or RUN_STATE where the run is over already. */
  async cancelRun(id: string): Promise<void> {
    const { state } = this.#context.book.run(id)
    const driver = this.#drivers.get(id)
    if (!driver) throw new LaminaError("RUN_STATE", `expected run ${id} to be active, got "${state}"`)
    await driver.cancel()
  }

  /** encodeAdapter bytes, verified. Throws NOT_FOUND or BLOB_CORRUPT. */
  adapter(hashHex: string): Promise<Uint8Array> {
    return this.#context.blobs.read(hashHex)
  }

  /**
   * What this client is to do now: a task, to wait, or nothing more of the run it names. In buffered runs a client
   * that was started again is given the earlier round it was training for, as long as its update would count. Throws
   * NOT_FOUND for an unknown run.
   */
  async nextTask(clientId: string, { runId, afterRound }: NextTask): Promise<NextTaskReply> {
    if (runId !== "" && !this.#drivers.has(runId)) return { ended: this.#ended(runId) }
    const drivers = runId === "" ? [...this.#drivers.values()] : [this.#drivers.get(runId)]
    const after = runId === "" ? 0 : afterRound
    for (const driver of drivers) {
      if (!driver) continue
      const open = await this.#offer(clientId, openTo(clientId, driver, after))
      const task = open ?? (await this.#offer(clientId, await this.#begun(clientId, driver, after)))
      if (task) return { task }
    }
    const reasons = drivers.flatMap((driver) => (driver ? [this.#whyNothing(clientId, driver, after)] : []))
    return {
      wait: { retryAfterMs: ASK_AGAIN_MS, reason: reasons.slice(0, REASONS_MAX).join("; ") || "no run is active" },
    }
  }

  /** Why a run has no task for this client now. */
  #whyNothing(clientId: string, { id, open, number }: RunDriver, afterRound: number): string {
    const { waiting = "no round waits for this client" } = this.#context.book.standing(id)
    if (!open) return waiting
    if (open.round.phase !== "collecting") return `round ${number} is being aggregated`
    const isDone = number <= afterRound || open.round.answers.has(clientId)
    return isDone
      ? `round ${number} goes on, this client is done with it`
      : `round ${number} goes on with other clients`
  }

  /** What a client of its cohort is to do in a round. */
  async #offer(clientId: string, row: RoundRow | undefined): Promise<TaskOffer | undefined> {
    const plan = row && (await this.#context.store.plan(row.run_id, row.round, clientId))
    if (!plan) return undefined
    const { header, header_signature: headerSignature, run_id: runId } = row
    return { header, headerSignature, plan: plan.plan, planSignature: plan.signature, runId }
  }

  /** The earlier round of a buffered run that this client took up and has neither answered nor given up. */
  async #begun(clientId: string, driver: RunDriver, afterRound: number): Promise<RoundRow | undefined> {
    const round = driver.busyWith(clientId)
    if (round === undefined || round <= afterRound) return undefined
    const row = await this.#context.store.round(driver.id, round)
    if (!row?.recipient_secret) return undefined // abandoned meanwhile
    const { hardDeadlineMs } = JSON.parse(row.terms) as RoundTerms
    return this.#context.now() < hardDeadlineMs ? row : undefined
  }

  /** Notes how far a client is. Progress of a round it is not in is dropped: it is news, not truth. */
  progress(clientId: string, progress: Progress): void {
    const driver = this.#drivers.get(progress.runId)
    const round = driver?.open?.round
    if (driver?.number !== progress.round || round?.phase !== "collecting") return
    const member = round.terms.cohort.find(({ id }) => id === clientId)
    if (!member) return
    const latest = { ...progress, clientId, client: member.name }
    this.#progress.put(latest)
    this.events.tell("progress", latest)
  }

  /** Nobody waits for this client any more; a round that does not wait for it, or is none, is left as it is. */
  async decline(clientId: string, { runId, round, code: wire, reason }: Decline): Promise<void> {
    const driver = this.#drivers.get(runId)
    const { name: client = "" } = this.sessions.connected.get(clientId) ?? {}
    if (!driver || !isAwaited(clientId, driver, round)) return
    const code = errorCodeOfWire(wire)
    this.events.tell("clientDeclined", { runId, round, clientId, client, code, reason })
    await driver.decline(clientId, round, code)
  }

  /**
   * With the envelope in the request the upload is committed as well: its ticket carries the receipt. Throws what
   * Uploads.open and Commits.commit throw, and NOT_FOUND for an unknown run.
   */
  async openUpload(clientId: string, request: UploadOpen): Promise<UploadTicket> {
    if (!this.#drivers.has(request.runId)) this.#context.book.standing(request.runId)
    const ticket = await this.#uploads.open(clientId, request, this.#drivers.get(request.runId))
    if (!request.envelope) return ticket
    const { uploadId } = ticket
    const receipt = await this.commitUpload(clientId, { uploadId, envelopeRoot: rootOf(request.leaves) })
    return { ...ticket, receipt }
  }

  putChunks(clientId: string, chunks: Chunks): Promise<void> {
    return this.#uploads.put(clientId, chunks)
  }

  commitUpload(clientId: string, request: UploadCommit): Promise<Receipt> {
    return this.#commits.commit(clientId, request, (runId) => this.#drivers.get(runId))
  }

  /** Looks at the clock for every run. */
  async tick(): Promise<void> {
    this.sessions.sweep()
    this.metrics.activeRuns.set(this.#drivers.size)
    await this.#look([...this.#drivers.values()])
  }

  async #look(drivers: readonly RunDriver[]): Promise<void> {
    await Promise.all(drivers.map((driver) => this.#guarded(driver, () => driver.tick())))
  }

  /** Resolves when everything that was begun is written. */
  async settled(): Promise<void> {
    await this.#commits.settled()
    await Promise.all([...this.#drivers.values()].map((driver) => driver.settled()))
    await this.#removing.catch(() => undefined)
  }

  async #drive(row: RunRow): Promise<void> {
    const driver = new RunDriver(this.#context, row)
    this.#drivers.set(row.id, driver)
    await driver.start().catch((error: unknown) => {
      if (driver.number === 0) throw error // it is nowhere yet, and no tick takes it further
      this.#stalled(driver, error)
    })
  }

  #ended(runId: string): { runId: string; state: string; globalAdapterHash: Uint8Array } {
    const { state, globalAdapterHash } = this.#context.book.standing(runId)
    return { runId, state, globalAdapterHash: bytesOf(globalAdapterHash ?? "") }
  }

  /** The next round need not wait for the files to go: a start removes what nobody owns. */
  async #forgetUploads(): Promise<void> {
    const gone = await this.#context.store.forgetUploads()
    for (const { id } of gone) this.#uploads.recheck(id) // from here on no chunk is taken for them
    this.#removing = this.#removing.then(async () => {
      for (const upload of gone) await this.#uploads.forget(upload)
    })
    this.#removing.catch((error: unknown) => {
      this.#context.logger.error({ err: error }, "uploads of a round that is over could not be removed")
      this.#removing = Promise.resolve()
    })
  }

  /**
   * A thousand clients that come at once are one look. That somebody came brings no round that collects closer to its
   * end: those are left to the clock.
   */
  #lookSoon(): void {
    if (this.#looking) return
    this.#looking = true
    setImmediate(() => {
      this.#looking = false
      if (this.#context.closing()) return
      void this.#look([...this.#drivers.values()].filter(({ open }) => open?.round.phase !== "collecting"))
    })
  }

  async #guarded(driver: RunDriver, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      this.#stalled(driver, error)
    }
  }

  #stalled(driver: RunDriver, error: unknown): void {
    if (this.#context.closing()) return
    this.events.tell("runStalled", { runId: driver.id, error })
  }
}

/** Whether this client is of the cohort of a round that still waits for it, or that it trains for in a buffered run. */
function isAwaited(clientId: string, driver: RunDriver, round: number): boolean {
  if (driver.busyWith(clientId) === round) return true
  const open = driver.awaits(clientId, round) ? driver.open?.round : undefined
  return open?.phase === "collecting" && open.terms.cohort.some(({ id }) => id === clientId)
}

/** The round of a run that collects now, where it still waits for this client, should it be of the cohort. */
function openTo(clientId: string, { open, number }: RunDriver, afterRound: number): RoundRow | undefined {
  if (open?.round.phase !== "collecting" || number <= afterRound) return undefined
  return open.round.answers.has(clientId) ? undefined : open.row
}
