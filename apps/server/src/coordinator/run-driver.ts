import type { ErrorCode } from "@lamina/protocol/errors"
import { Recipe } from "@lamina/protocol/recipe"

import { afterRound } from "../round/campaign.js"
import type { Outcome } from "../round/campaign.js"
import type {
  Aggregating,
  AnswerStatus,
  CarriedUpdate,
  ClientId,
  CohortMember,
  Round,
  RoundEffect,
  RoundEvent,
  Selecting,
} from "../round/round.js"
import { isOver } from "../round/round.js"
import { step } from "../round/step.js"
import type { RoundRow, RoundState, RunRow } from "../store/schema.js"
import type { LoggedEvent, NewUpdate } from "../store/store.js"
import { BusyClients } from "./busy-clients.js"
import type { CoordinatorContext } from "./context.js"
import { Gathered } from "../blobs/gathered.js"
import { judgeAll, statusIn } from "./judge.js"
import type { AskedCommit, CommitAnswer, CommitEvent } from "./judge.js"
import { openRound } from "./open-round.js"
import type { StoredAggregation } from "./publish.js"
import { drawingOrder } from "./plan.js"
import { RunAggregation } from "./run-aggregation.js"
import { restoreRound } from "./round-log.js"
import { selectingOf } from "./selecting.js"
import { lacking } from "./waiting.js"
import type { TrainedModule } from "./run-request.js"

/** Before start(): nobody is looked for. */
const UNSTARTED: Selecting = { phase: "selecting", target: 1, minimum: Infinity, patienceMs: Infinity }

type Persist = (logged: LoggedEvent, effects: readonly RoundEffect[]) => Promise<void>
/**
 * Drives one run that is not over: feeds events to the rules of its round, one at a time, makes what changed durable
 * before anybody hears of it, and carries out the effects. Everything it knows can be read back from the store.
 */
export class RunDriver {
  readonly recipe: Recipe
  readonly modules: readonly TrainedModule[]
  #round: Round = UNSTARTED
  #row: RoundRow | undefined
  #number = 0
  #logged = 0
  /** The last round that was said to wait for clients. */
  #waited = 0
  #queue: Promise<unknown> = Promise.resolve()
  readonly #commits = new Gathered((asked: readonly AskedCommit[]) => this.#serially(() => this.#answerAll(asked)))
  readonly #aggregation: RunAggregation
  #ended = false
  /** Buffered runs only. */
  #busy = new BusyClients()
  /** ms since 1970; buffered runs: until then clients may still come back after a restart, and rounds wait for them. */
  #comingBackMs = 0
  readonly #waiting: (() => void)[] = []
  /** How observers are told of the end of the round, once the book shows it. */
  #news: (() => void) | undefined

  constructor(
    private readonly context: CoordinatorContext,
    private readonly run: RunRow,
  ) {
    this.recipe = Recipe.parse(JSON.parse(run.recipe))
    this.modules = JSON.parse(run.modules) as TrainedModule[]
    this.#aggregation = new RunAggregation(context, this)
  }

  get id(): string {
    return this.run.id
  }

  /** The number of the round that is open or being selected. */
  get number(): number {
    return this.#number
  }

  /** The round that is open now, with its row; undefined while the next one is being selected. */
  get open(): { readonly round: Round; readonly row: RoundRow } | undefined {
    return this.#row && { round: this.#round, row: this.#row }
  }

  /** Whether this round collects and has no answer of this client yet: then the store has none either. */
  awaits(client: ClientId, round: number): boolean {
    return this.#number === round && this.#round.phase === "collecting" && !this.#round.answers.has(client)
  }

  /** Picks up where the store says the run is. */
  start(): Promise<void> {
    return this.#serially(async () => {
      const last = (await this.context.store.rounds(this.id)).at(-1)
      const { buffer } = this.recipe.cohort
      if (buffer && last) {
        this.#comingBackMs = this.context.now() + this.context.patienceMs
        const number = last.ended_ms === null ? last.round : last.round + 1
        const span = { first: number - buffer.stalenessMax, last: last.round }
        this.#busy = await BusyClients.load(this.context.store, this.id, span)
      }
      if (!last || last.ended_ms !== null) return this.#continue()
      this.#row = last
      this.#number = last.round
      this.#logged = (await this.context.store.events(this.id, last.round)).length
      this.#round = await restoreRound(this.context.store, last)
      await this.#finishIfOver()
    })
  }

  /** Looks at the clock, at who is there while a cohort is being drawn, and at an aggregation that is due. */
  tick(): Promise<void> {
    return this.#serially(async () => {
      if (this.#ended) return
      if (this.#round.phase === "selecting") return this.#lookForClients(this.#round)
      await this.#apply({ kind: "tick" })
      const sealed = this.#round.phase === "sealed" || this.#round.phase === "aggregating"
      if (sealed) this.#aggregation.startIfDue()
    })
  }

  /** Answers a commit to round `update.round`; what is ACCEPTED or REJECTED is durable when this resolves. */
  commit(update: Omit<NewUpdate, "at_ms" | "run_id">, verdict: CommitEvent["verdict"]): Promise<CommitAnswer> {
    return this.#commits.ask({ update, verdict })
  }

  /** Judges commits one after another and makes them durable together: where that fails, none of them happened. */
  async #answerAll(asked: readonly AskedCommit[]): Promise<CommitAnswer[]> {
    const atMs = this.context.now()
    const judged = judgeAll(asked, {
      ...{ runId: this.id, number: this.#number, round: this.#round, seq: this.#logged, atMs },
    })
    if (judged.recorded.length === 0) return judged.answers.map(({ status }) => ({ status, sequence: 0 }))
    const sequences = await this.context.store.recordUpdates(judged.recorded)
    for (const { update } of judged.recorded)
      if (update) {
        this.#busy.answered(update.client_id, update.round)
        this.#count(update.status)
      }
    this.#logged += judged.recorded.length
    this.#round = judged.round
    if (this.#row) this.context.book.putRound((this.#row = { ...this.#row, state: judged.round.phase as RoundState }))
    for (const effect of judged.effects) await this.#perform(effect)
    await this.#finishIfOver()
    return judged.answers.map(({ status, recorded }) => ({ status, sequence: sequences[recorded] ?? 0 }))
  }

  /** Whether an update of `round` still counts in whatever round is open or comes next: buffered runs only. */
  carries(round: number): boolean {
    const { buffer } = this.recipe.cohort
    return buffer !== undefined && !this.#ended && round <= this.#number && this.#number - round <= buffer.stalenessMax
  }

  /** Buffered runs: the earlier round this client still trains for, if there is one whose update would count. */
  busyWith(client: ClientId): number | undefined {
    const round = this.#busy.roundOf(client)
    return round !== undefined && this.carries(round) ? round : undefined
  }

  /** Resolves when a round collects, the run is over, or the coordinator closes. */
  async collecting(): Promise<void> {
    while (!this.#ended && !this.context.closing() && this.#round.phase !== "collecting")
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  /** Who waits in `collecting` looks again: something they wait for may have happened. */
  wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  /**
   * As `commit`, for an update that was trained for an earlier round of a buffered run. LATE and CLOSED are no last
   * word while the run `carries` its round: the next round that collects may take it.
   */
  carry(
    update: Omit<NewUpdate, "at_ms" | "run_id" | "counted_round">,
    { name, verdict }: Pick<CarriedUpdate, "name" | "verdict">,
  ): Promise<{ status: AnswerStatus; sequence: number }> {
    return this.#serially(async () => {
      const { client_id: id, round, envelope_root: envelopeRoot } = update
      let sequence = 0
      const event = { kind: "carry", id, name, round, envelopeRoot, verdict } as const
      const effects = await this.#apply(event, async (logged, answers) => {
        const status = statusIn(answers)
        if (status !== "ACCEPTED" && status !== "REJECTED") return this.context.store.appendEvent(logged)
        const row = { ...update, run_id: this.id, counted_round: this.#number, at_ms: logged.atMs }
        const [recorded = 0] = await this.context.store.recordUpdates([{ update: row, logged }])
        sequence = recorded
        this.#busy.answered(id, round)
        this.#count(status)
      })
      return { status: statusIn(effects), sequence }
    })
  }

  /** A client of its cohort brings no update to `round`. Of an earlier round of a buffered run: it is free again. */
  decline(clientId: ClientId, round: number, code: ErrorCode): Promise<void> {
    return this.#serially(async () => {
      this.#busy.answered(clientId, round)
      if (round === this.#number) await this.#apply({ kind: "declined", clientId, code })
    })
  }

  cancel(): Promise<void> {
    return this.#serially(async () => {
      if (this.#ended) return
      if (this.#row) await this.#apply({ kind: "cancelled" })
      else await this.#end("cancelled", "cancelled")
    })
  }

  /** Resolves when everything that was begun is written. */
  async settled(): Promise<void> {
    await this.#queue.catch(() => undefined)
  }

  /** One event at a time: the next one sees what the last one made durable. */
  #serially<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#queue.catch(() => undefined).then(work)
    this.#queue = done
    return done
  }

  async #apply(event: RoundEvent, persist: Persist = (logged) => this.context.store.appendEvent(logged)) {
    const atMs = this.context.now()
    const { round, effects } = step(this.#round, event, atMs)
    if (round !== this.#round && this.#row) {
      const state = round.phase as RoundState
      const seq = this.#logged + 1
      await persist({ runId: this.id, round: this.#number, seq, event, atMs, state }, effects)
      this.#logged = seq
      this.#round = round
      this.#row = { ...this.#row, state }
      this.context.book.putRound(this.#row)
    }
    for (const effect of effects) await this.#perform(effect)
    await this.#finishIfOver()
    return effects
  }

  async #perform(effect: RoundEffect): Promise<void> {
    if (effect.kind === "configure") return this.#open(effect.cohort)
    if (effect.kind !== "aggregate" || this.#aggregation.busy) return
    const { events } = this.context
    const cohort = this.#row?.cohort ?? 0
    events.tell("roundSealed", { runId: this.id, round: this.#number, accepted: effect.accepted.length, cohort })
    void this.#aggregation.start()
  }

  async #lookForClients(selecting: Selecting): Promise<void> {
    const { sessions, present, ready } = this.context
    if (!ready()) return
    const here = [...sessions.connected.values()].filter(
      ({ id, name }) => !this.#busy.has(id) && (present?.(name, this.#number) ?? true),
    )
    if (here.length < selecting.minimum) return this.#wait(selecting, here.length)
    const clients = drawingOrder(here, { seed: this.recipe.seed, round: this.#number })
    await this.#apply({ kind: "present", clients: clients.map(({ id, name }) => ({ id, name })) })
    if (this.#round === selecting) this.#wait(selecting, here.length)
  }

  #wait(selecting: Selecting, here: number): void {
    const { book, events, now } = this.context
    const reason = lacking(selecting, { round: this.#number, here, nowMs: now() })
    if (book.standing(this.id).waiting === reason) return
    book.wait(this.id, reason)
    if (this.#waited === this.#number) return
    this.#waited = this.#number
    events.tell("runWaiting", { runId: this.id, round: this.#number, reason })
  }

  async #open(drawn: readonly CohortMember[]): Promise<void> {
    const { store, events, book, now, sessions } = this.context
    // looked up before anything is waited for: who leaves from here on is of the cohort all the same
    const connected = drawn.flatMap(({ id }) => sessions.connected.get(id) ?? [])
    const atMs = now()
    const run = (await store.run(this.id)) ?? this.run
    const opened = await openRound(this.context, {
      ...{ run, work: this, round: this.#number, drawn: connected, atMs },
      ...(this.recipe.cohort.buffer ? { busy: this.#busy.count } : {}),
    })
    const { cohort } = opened.terms
    const event = { kind: "configured", terms: opened.terms } as const
    const first = { runId: this.id, round: this.#number, seq: 1, event, atMs, state: "collecting" } as const
    await store.openRound(opened.row, opened.plans, first)
    this.#round = step(this.#round, event, atMs).round
    this.#row = opened.row
    this.#logged = 1
    book.putRound(opened.row)
    if (this.recipe.cohort.buffer)
      this.#busy.opened(
        this.#number,
        cohort.map(({ id }) => id),
      )
    this.wake()
    events.tell("roundOpened", { runId: this.id, round: this.#number, clients: cohort.map(({ name }) => name) })
    events.hint()
  }

  #count(status: "ACCEPTED" | "REJECTED"): void {
    if (!this.#row) return
    const { accepted, rejected } = this.#row
    this.#row =
      status === "ACCEPTED" ? { ...this.#row, accepted: accepted + 1 } : { ...this.#row, rejected: rejected + 1 }
  }

  /** For the aggregation of a sealed round: notes that it begins. */
  async begin(): Promise<{ row: RoundRow; round: Aggregating } | undefined> {
    await this.#serially(() => this.#apply({ kind: "aggregation-started" }))
    const { row, round } = this.open ?? {}
    return row && round?.phase === "aggregating" ? { row, round } : undefined
  }

  /** Notes that the aggregation failed. */
  fail(): Promise<unknown> {
    return this.#serially(() => this.#apply({ kind: "aggregation-failed" }))
  }

  /** Publishes what was aggregated. */
  publish(round: number, { adapter, report, contributions }: StoredAggregation): Promise<void> {
    return this.#serially(async () => {
      const adapterHash = adapter.hash
      const keepSecrets = this.recipe.cohort.buffer?.stalenessMax ?? 0
      if (round !== this.#number || isOver(this.#round)) return // cancelled while it was aggregated
      await this.#apply({ kind: "aggregated", adapterHash }, async (logged) => {
        const published = { adapter, report: JSON.stringify(report), contributions, keepSecrets }
        await this.context.store.publishRound(logged, published)
        if (this.#row) this.#row = { ...this.#row, adapter_hash: adapterHash, ended_ms: logged.atMs }
        this.#news = () => this.context.events.tell("roundPublished", { runId: this.id, round, adapterHash, report })
      })
    })
  }

  /**
   * What follows the end of a round: its record closed, its uploads let go, the next round or the end of the run.
   * Again: a no-op.
   */
  async #finishIfOver(): Promise<void> {
    if (!isOver(this.#round) || this.#ended || !this.#row) return
    const { store, events, metrics, now, book } = this.context
    const round = this.#number
    if (this.#round.phase === "abandoned") {
      const { reason } = this.#round
      this.#busy.forget(round)
      await store.closeRound(this.id, round, { reason, atMs: now() })
      this.#row = { ...this.#row, reason, ended_ms: now() }
      this.#news = () => events.tell("roundAbandoned", { runId: this.id, round, reason })
    }
    book.putRound(this.#row)
    metrics.rounds.inc({ outcome: this.#round.phase })
    await this.context.forgetUploads() // before anybody hears of it: from here on no chunk is taken for the round
    this.#news?.()
    this.#news = undefined
    await this.#continue()
  }

  async #continue(): Promise<void> {
    const rounds = await this.context.store.rounds(this.id)
    const next = afterRound(rounds.map(outcomeOf), this.recipe.rounds)
    if (next === "done") return this.#end("done")
    if (next === "failed") {
      const reason = rounds.at(-1)?.reason ?? "unknown"
      return this.#end(reason === "cancelled" ? "cancelled" : "failed", reason)
    }
    this.#row = undefined
    this.#number = rounds.length + 1
    const { buffer } = this.recipe.cohort
    if (buffer) this.#busy.forgetBefore(this.#number - buffer.stalenessMax)
    const selecting = selectingOf({
      ...{ cohort: this.recipe.cohort, round: this.#number, busy: this.#busy.count },
      patienceMs: this.context.now() + this.context.patienceMs,
      presenceIsTold: this.context.present !== undefined,
      comingBackMs: this.#comingBackMs,
    })
    this.#round = selecting
    await this.#lookForClients(selecting)
  }

  async #end(state: "done" | "failed" | "cancelled", reason?: string): Promise<void> {
    const { store, events, book, now } = this.context
    const atMs = now()
    const why = reason === undefined ? {} : { reason }
    await store.endRun(this.id, { state, ...why, atMs })
    this.#ended = true
    this.wake()
    book.end(this.id, { state, ...why, atMs })
    this.context.retire(this)
    events.tell("runEnded", { runId: this.id, state, ...why })
    events.hint()
  }
}

function outcomeOf({ state, reason }: RoundRow): Outcome {
  if (state === "published") return "published"
  return reason === "cancelled" ? "cancelled" : "abandoned"
}
