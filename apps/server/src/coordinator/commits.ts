import { equalBytes, sign } from "@lamina/crypto"
import { messages } from "@lamina/protocol"
import type { ModuleScore, Receipt, ReceiptBody, UploadCommit } from "@lamina/protocol"
import { ERRORS, LaminaError, errorCodeOfWire, hasErrorCode } from "@lamina/protocol/errors"

import type { AnswerStatus } from "../round/round.js"
import { step } from "../round/step.js"
import type { RoundRow, UploadRow } from "../store/schema.js"
import type { Inspection } from "../worker/jobs.js"
import { secretOf } from "./aggregate-job.js"
import type { CoordinatorContext } from "./context.js"
import { sourceOf } from "./envelope-source.js"
import { bytesOf } from "./hex.js"
import { restoreRound } from "./round-log.js"
import type { RunDriver } from "./run-driver.js"
import { conflict, isComplete } from "./uploads.js"
import type { Uploads } from "./uploads.js"

/** A receipt before it is signed. */
interface Answer {
  readonly status: Exclude<AnswerStatus, "CONFLICT" | "NOT_SELECTED">
  readonly code: number
  readonly sequence: number
}

/** What becomes of a complete envelope: opened, judged, made durable, answered with a signed receipt. */
export class Commits {
  readonly #underWay = new Map<string, Promise<Receipt>>()
  /** Carried updates that wait for a round, each with its run. */
  readonly #waiting = new Set<{ readonly driver: RunDriver }>()

  constructor(
    private readonly context: CoordinatorContext,
    private readonly uploads: Uploads,
  ) {}

  /**
   * Answers a commit: ACCEPTED and REJECTED are durable before they are said; the same envelope again is DUPLICATE
   * with the same sequence. Throws NOT_FOUND, UPLOAD_CONFLICT, UPLOAD_INCOMPLETE or NOT_SELECTED. A commit that comes
   * while the first is under way joins it.
   */
  async commit(
    clientId: string,
    request: UploadCommit,
    driverOf: (runId: string) => RunDriver | undefined,
  ): Promise<Receipt> {
    const row = await this.#rowOf(clientId, request.uploadId)
    if (!equalBytes(bytesOf(row.envelope_root), request.envelopeRoot)) throw conflict()
    const joined = this.#underWay.get(row.id)
    if (joined) return joined
    const decide = async (): Promise<Receipt> => {
      await this.#rowOf(clientId, row.id) // another envelope may have taken its place before it was held
      return this.#decide(row, driverOf(row.run_id))
    }
    const work = this.uploads.holding(row, decide).finally(() => this.#underWay.delete(row.id))
    this.#underWay.set(row.id, work)
    return work
  }

  async #rowOf(clientId: string, uploadId: string): Promise<UploadRow> {
    const row = await this.uploads.row(uploadId)
    if (row?.client_id === clientId) return row
    throw new LaminaError("NOT_FOUND", "expected the id of an upload of this client, got another")
  }

  /** Resolves when every commit under way is answered: while the coordinator closes, no round is waited for. */
  async settled(): Promise<void> {
    for (const { driver } of this.#waiting) driver.wake()
    await Promise.allSettled(this.#underWay.values())
  }

  async #decide(row: UploadRow, driver: RunDriver | undefined): Promise<Receipt> {
    // the row of a large cohort is long: the one that is open is in memory
    const open = driver?.number === row.round ? driver.open?.row : undefined
    const round = open ?? (await this.context.store.round(row.run_id, row.round))
    if (!round) throw new LaminaError("NOT_FOUND", `expected a round of run ${row.run_id}, got ${row.round}`)
    const settled = driver?.awaits(row.client_id, row.round) ? undefined : await this.#settled(row)
    const answer = settled ?? (await this.#judge(row, { round, driver }))
    this.context.metrics.updates.inc({ status: answer.status })
    const body = messages.ReceiptBody.encode(receiptBody(row, round, answer))
    return { body, signature: sign(this.context.identity.signer, "lamina/v1/receipt", body) }
  }

  /** What the rules say without looking into the envelope: everything but a first commit to a round that collects. */
  async #settled(row: UploadRow): Promise<Answer | undefined> {
    const { run_id, round, client_id, envelope_root } = row
    const update = await this.context.store.update(run_id, round, client_id)
    if (!update) return undefined
    if (update.envelope_root !== envelope_root) throw conflict()
    return repeated(update)
  }

  async #judge(row: UploadRow, { round, driver }: { round: RoundRow; driver: RunDriver | undefined }): Promise<Answer> {
    const open = driver?.number === row.round && driver.open?.round.phase === "collecting"
    if (driver?.carries(row.round) && !open && round.recipient_secret) return this.#carry(row, { round, driver })
    if (driver?.number !== row.round || !driver.open || round.ended_ms !== null) return this.#afterTheEnd(row)
    // once sealed nothing is opened any more: the rules answer LATE whatever is inside
    if (driver.open.round.phase !== "collecting")
      return this.#record(row, driver, { verdict: "accepted", weight: 0, metrics: {}, scores: [] })
    if (!isComplete(await this.uploads.load(row.id, row.client_id))) throw incomplete()
    const inspection = await this.#inspect(row, round).catch(async (error: unknown) => {
      // a round that ended meanwhile took the bytes with it
      if ((await this.context.store.round(row.run_id, row.round))?.ended_ms === null) throw error
      return undefined
    })
    return inspection ? this.#record(row, driver, inspection) : this.#afterTheEnd(row)
  }

  /**
   * Buffered runs: an update whose round is over counts in the one that collects now, or in the next. Throws
   * SESSION_EXPIRED where the coordinator closes before one collects.
   */
  async #carry(row: UploadRow, { round, driver }: { round: RoundRow; driver: RunDriver }): Promise<Answer> {
    if (!isComplete(await this.uploads.load(row.id, row.client_id))) throw incomplete()
    const inspection = await this.#inspect(row, round)
    const name = (await this.context.store.plan(row.run_id, row.round, row.client_id))?.client_name ?? row.client_id
    const written = { ...this.#written(row, inspection), round: row.round }
    for (;;) {
      await this.#collecting(driver)
      // the round it was trained for may have been abandoned meanwhile: without its key nothing can be counted
      const trainedFor = await this.context.store.round(row.run_id, row.round)
      if (!driver.carries(row.round) || !trainedFor?.recipient_secret) return this.#afterTheEnd(row)
      const { status, sequence } = await driver.carry(written, { name, verdict: inspection.verdict })
      if (status === "LATE" || status === "CLOSED") continue // over in between: the next round takes it
      if (status === "CONFLICT") throw conflict()
      if (status === "NOT_SELECTED") return this.#afterTheEnd(row)
      if (status === "DUPLICATE") return (await this.#settled(row)) ?? { status, code: 0, sequence }
      return this.#told(row, { status, sequence }, inspection)
    }
  }

  /** Resolves when a round collects or the run is over. Throws SESSION_EXPIRED while the coordinator closes. */
  async #collecting(driver: RunDriver): Promise<void> {
    const waiting = { driver }
    this.#waiting.add(waiting)
    await driver.collecting()
    this.#waiting.delete(waiting)
    if (this.context.closing())
      throw new LaminaError("SESSION_EXPIRED", "expected a round to count in, got a coordinator that closes")
  }

  async #inspect(row: UploadRow, round: RoundRow): Promise<Inspection> {
    const { store, worker } = this.context
    const plan = await store.plan(row.run_id, row.round, row.client_id)
    if (!plan)
      throw new LaminaError("NOT_SELECTED", `expected a client of the cohort of round ${row.round}, got another`)
    const update = {
      source: sourceOf(this.context, row),
      header: row.header,
      envelopeBytes: row.envelope_bytes,
      envelopeRoot: bytesOf(row.envelope_root),
      clientId: row.client_id,
      clientName: plan.client_name,
      plan: plan.plan,
    }
    try {
      return await worker.run({ kind: "inspect", update, secret: secretOf(this.context, round) })
    } catch (error) {
      if (!hasErrorCode(error) || error.code !== "BLOB_CORRUPT") throw error
      this.uploads.recheck(row.id)
      throw new LaminaError(
        "UPLOAD_INCOMPLETE",
        "expected the bytes that were acknowledged, got others from the disk; send them again",
        { cause: error },
      )
    }
  }

  async #record(row: UploadRow, driver: RunDriver, inspection: Inspection): Promise<Answer> {
    const written = { ...this.#written(row, inspection), round: row.round, counted_round: null }
    const { status, sequence } = await driver.commit(written, inspection.verdict)
    if (status === "CONFLICT") throw conflict()
    if ((status === "LATE" || status === "NOT_SELECTED") && driver.carries(row.round)) {
      const trainedFor = await this.context.store.round(row.run_id, row.round)
      if (trainedFor) return this.#carry(row, { round: trainedFor, driver })
    }
    if (status === "NOT_SELECTED") return this.#afterTheEnd(row)
    if (status === "DUPLICATE") return (await this.#settled(row)) ?? { status, code: 0, sequence }
    return this.#told(row, { status, sequence }, inspection)
  }

  #written({ client_id, envelope_root, envelope_bytes }: UploadRow, inspection: Inspection) {
    const accepted = inspection.verdict === "accepted"
    return {
      ...{ client_id, envelope_root, envelope_bytes },
      status: accepted ? ("ACCEPTED" as const) : ("REJECTED" as const),
      code: codeOf(inspection),
      weight: inspection.verdict === "accepted" ? inspection.weight : 0,
      metrics: JSON.stringify(inspection.verdict === "accepted" ? inspection.metrics : {}),
      scores: inspection.verdict === "accepted" ? scoresAsText(inspection.scores) : "{}",
    }
  }

  async #told(
    row: UploadRow,
    { status, sequence }: Pick<Answer, "status" | "sequence">,
    inspection: Inspection,
  ): Promise<Answer> {
    const code = codeOf(inspection)
    await this.#tell(row, { status, code, sequence }, inspection)
    return { status, code: status === "REJECTED" ? code : 0, sequence }
  }

  /** The answer of a round that is no longer open, by the same rules, from its log. */
  async #afterTheEnd(row: UploadRow): Promise<Answer> {
    const round = await restoreRound(this.context.store, row)
    const event = {
      kind: "commit",
      clientId: row.client_id,
      envelopeRoot: row.envelope_root,
      verdict: "accepted",
    } as const
    const [effect] = step(round, event, this.context.now()).effects
    const status = effect?.kind === "answer" ? effect.status : "CLOSED"
    if (status === "CONFLICT") throw conflict()
    if (status !== "LATE" && status !== "CLOSED")
      throw new LaminaError("ROUND_CLOSED", `round ${row.round} of run ${row.run_id} is over`)
    return { status, code: 0, sequence: 0 }
  }

  async #tell(row: UploadRow, answer: Answer, inspection: Inspection): Promise<void> {
    const { store, events, book } = this.context
    const { run_id: runId, round, client_id: clientId } = row
    const client = (await store.plan(runId, round, clientId))?.client_name ?? clientId
    const who = { runId, round, clientId, client }
    if (answer.status === "ACCEPTED" && inspection.verdict === "accepted") {
      book.weigh(runId, client, inspection.weight)
      events.tell("updateAccepted", {
        ...who,
        sequence: answer.sequence,
        weight: inspection.weight,
        metrics: inspection.metrics,
      })
    } else if (answer.status !== "ACCEPTED" && answer.status !== "DUPLICATE")
      events.tell("updateRefused", {
        ...who,
        status: answer.status,
        ...(answer.code === 0 ? {} : { code: errorCodeOfWire(answer.code) }),
      })
  }
}

function incomplete(): LaminaError {
  return new LaminaError(
    "UPLOAD_INCOMPLETE",
    "expected every chunk to be durable, got a commit before; open the upload again to see which",
  )
}

function codeOf({ verdict }: Inspection): number {
  return verdict === "accepted" ? 0 : ERRORS[verdict].wire
}

/** Four digits are plenty for what is averaged over clients. */
function scoresAsText(scores: readonly ModuleScore[]): string {
  const short = scores.map(({ name, values }) => [name, values.map((value) => Number(value.toPrecision(4)))] as const)
  return JSON.stringify(Object.fromEntries(short))
}

/** The stored answer said again: an accepted update is a duplicate now, a refused one stays refused. */
function repeated(update: { status: "ACCEPTED" | "REJECTED"; code: number; sequence: number }): Answer {
  return {
    status: update.status === "ACCEPTED" ? "DUPLICATE" : "REJECTED",
    code: update.code,
    sequence: update.sequence,
  }
}

function receiptBody(row: UploadRow, round: RoundRow, { status, code, sequence }: Answer): ReceiptBody {
  return {
    status,
    code,
    sequence,
    roundHeaderHash: bytesOf(round.header_hash),
    envelopeRoot: bytesOf(row.envelope_root),
    clientId: bytesOf(row.client_id),
  }
}
