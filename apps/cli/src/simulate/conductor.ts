import { setImmediate } from "node:timers/promises"

import { LaminaError } from "@lamina/protocol/errors"
import type { TrainedUpdate, TrainerContext, TrainingTask } from "@lamina/client"
import { compareNames } from "@lamina/protocol"

import type { OpenRound, RoundWatch } from "./round-watch.js"
import { scheduleOf } from "./device-time.js"
import type { PlanCost, Schedule } from "./device-time.js"
import type { ClientOutcome, History } from "./journal.js"
import type { VirtualClient } from "./virtual-client.js"
import type { VirtualClock } from "./virtual-clock.js"
import { Work } from "./work.js"

/** How a round ended for a client, as it tells it. */
interface Heard {
  readonly round: number
  readonly outcome: string
  readonly code?: string | undefined
  readonly reason?: string | undefined
}

interface ConductorSetting {
  readonly clock: VirtualClock
  readonly rounds: RoundWatch
  readonly history: History
  readonly seed: number
  readonly cost: PlanCost
  /** Trainings side by side. */
  readonly workers: number
  readonly signal: AbortSignal
  /** Ends the simulation: what happened could not be written down. */
  readonly fail: (error: unknown) => void
}

/** How long a round that finds too few devices waits before it looks again. */
const LOOK_AGAIN_MS = 60_000
/** A federation whose devices are not there together for a week never starts a round. */
const LOOKS_MAX = (7 * 24 * 3_600_000) / LOOK_AGAIN_MS

/**
 * The order of events of a simulated federation. Coordinator and clients are the production ones and run on the
 * virtual clock; the conductor moves it from one event to the next (an update that arrives, a deadline) and lets
 * happen what belongs there, one thing at a time, so that the seed alone decides what happens. Training itself runs
 * ahead, in the order in which its results are needed; what nobody will wait for is never trained.
 */
export class Conductor {
  readonly #works = new Set<Work>()
  /** Devices that left an open round: they come back when it is over. */
  readonly #gone = new Set<Work>()
  /** Let go and not yet heard of again: `client round`. Without its work: of an earlier process. */
  readonly #underWay = new Map<string, Work | undefined>()
  /** What is recorded: `client round`. */
  readonly #recorded = new Set<string>()
  /** When the coordinator last looked whether the open round is at a deadline. */
  #lookedMs = 0
  /** Looks for a cohort since the last round that opened. */
  #looks = 0
  readonly #asked: Promise<void>[] = []

  constructor(private readonly setting: ConductorSetting) {
    for (const { row } of setting.history.clients()) this.#recorded.add(`${row.client} ${row.round}`)
  }

  /** What a virtual client's trainer does: waits its virtual time, and trains for real where that is needed. */
  async work(
    client: VirtualClient,
    task: TrainingTask & { readonly bytesDown: number },
    train: (stop: AbortSignal) => Promise<TrainedUpdate>,
    signal: TrainerContext["signal"],
  ): Promise<TrainedUpdate> {
    const { rounds, history } = this.setting
    const schedule = await this.#scheduleOf(client, task)
    const hardDeadlineMs = await rounds.endsMs(task.round)
    if (!history.begun(client.name).some(({ round }) => round === task.round)) {
      if (schedule.startMs > this.setting.clock.now()) await this.#busyUntil(client, { task, signal })
      history.add({ kind: "begin", round: task.round, client: client.name, schedule })
    }
    const work = new Work({ client: client.name, round: task.round, schedule, hardDeadlineMs, train })
    this.#works.add(work)
    const abort = () => {
      if (!this.#works.delete(work) && !this.#gone.delete(work)) return
      this.#written(() => this.#let(work, work.fate ?? "late")) // the deadline finds gone devices gone, and others late
      work.refuse(signal.reason)
    }
    signal.addEventListener("abort", abort, { once: true })
    rounds.begun(client.name, task.round)
    try {
      return await work.result
    } finally {
      signal.removeEventListener("abort", abort)
    }
  }

  /**
   * A simulation that was stopped gives a device its next round at once, while by the virtual clock it is still at an
   * earlier one: it comes to an end with that first. Rejects where the round it was given is over by then, or the
   * simulation ends.
   */
  async #busyUntil(
    client: VirtualClient,
    { task, signal }: { task: TrainingTask; signal: AbortSignal },
  ): Promise<void> {
    const { history, rounds } = this.setting
    const next = task.round
    const before = history.begun(client.name).findLast(({ round }) => round < next)
    if (!before) return
    for (const work of this.#works)
      if (work.leftOver && work.client === client.name && work.round === before.round) this.#works.delete(work)
    const work = new Work({ ...before, next, hardDeadlineMs: await rounds.endsMs(before.round), train: busy })
    this.#works.add(work)
    rounds.begun(client.name, before.round)
    const abort = () => this.#works.delete(work) && work.refuse(signal.reason)
    signal.addEventListener("abort", abort, { once: true })
    try {
      await work.free
    } finally {
      signal.removeEventListener("abort", abort)
    }
  }

  /** A client heard how a round ended for it. */
  outcome(client: string, { round, outcome, code, reason }: Heard): void {
    const key = `${client} ${round}`
    const work = this.#underWay.get(key)
    const heard = (countedRound?: number): void => {
      this.#underWay.delete(key)
      if (work?.fate === undefined && !this.#recorded.has(key))
        this.#written(() => this.#record(client, round, outcomeOf(outcome), { countedRound, code, reason }))
      this.setting.rounds.ended(client, round)
    }
    if (work || !this.setting.rounds.buffered || this.#recorded.has(key)) return heard(work?.countedRound)
    // an earlier process sealed it and this one sent it: the coordinator knows where it counts
    this.#underWay.set(key, undefined)
    const answers = this.setting.rounds.answers(round)
    this.#asked.push(answers.then((all) => heard(all.get(client)?.countedRound)).catch(this.setting.fail))
  }

  /** Resolves when everything that was heard is written. */
  async written(): Promise<void> {
    await Promise.all(this.#asked)
  }

  /**
   * What was under way when the simulation was stopped and no client will tell any more. What the coordinator answered
   * happened at the latest time there is; devices that were still at a round that is over are late when they would
   * have been. (Those of a round that may still be answered take it up again by themselves.)
   */
  async recover(): Promise<void> {
    const { rounds, history } = this.setting
    const answers = new Map<number, Awaited<ReturnType<RoundWatch["answers"]>>>()
    for (const begun of history.allBegun()) {
      const { client, round } = begun
      if (this.#recorded.has(`${client} ${round}`)) continue
      const ofRound = answers.get(round) ?? (await rounds.answers(round))
      answers.set(round, ofRound)
      const { status, countedRound } = ofRound.get(client) ?? { status: "waiting" }
      if (status !== "waiting") this.#record(client, round, status, { countedRound })
      else if (!rounds.expects(client, round)) {
        const hardDeadlineMs = await rounds.endsMs(round)
        this.#works.add(new Work({ ...begun, leftOver: true, hardDeadlineMs, train: busy }))
      }
    }
  }

  /** For listeners: their errors would end the process. */
  #written(write: () => void): void {
    try {
      write()
    } catch (error) {
      this.setting.fail(error)
    }
  }

  /** From the first draw to the end of the run. */
  async conduct(): Promise<void> {
    const { rounds, signal } = this.setting
    rounds.ready = true
    for (;;) {
      signal.throwIfAborted()
      await this.#settled()
      if (rounds.over) return this.letAllGo()
      const open = await rounds.open()
      if (open) {
        this.#looks = 0
        await this.#next(open)
      } else await this.#draw()
    }
  }

  /** The next thing to happen: an update that arrives, or a deadline. */
  async #next(open: OpenRound): Promise<void> {
    this.#bringBack(open)
    if (this.#underWay.size > 0) return
    this.#trainAhead(open)
    const { clock, rounds } = this.setting
    const deadline = [open.softDeadlineMs, open.hardDeadlineMs].find((ms) => ms > this.#lookedMs) ?? Infinity
    // a device that was busy is free at its round's hard deadline, which may be this round's soft one: then it is first
    const first = this.#inOrder().find(
      ({ dueMs, next, overdue }) => dueMs < deadline || (dueMs === deadline && next !== undefined && overdue),
    )
    if (first) return this.#arrive(first, open)
    if (deadline === Infinity)
      throw new LaminaError("INTERNAL", `round ${open.round} is past its hard deadline and open`)
    this.#moveTo(deadline)
    await this.#settled() // whom the clock set free takes up what there is before the round is looked at
    this.#lookedMs = clock.now()
    await rounds.tick()
  }

  /** Nothing is under way that could still change what happens next. */
  #settled(): Promise<void> {
    const { rounds, signal } = this.setting
    return rounds.until(() => rounds.over || (this.#underWay.size === 0 && rounds.quiet()), signal)
  }

  /** Where no round is open, updates are late. */
  #arrive(work: Work, open: OpenRound | undefined): void {
    const { client, round, schedule } = work
    this.#moveTo(work.dueMs)
    if (!this.#works.delete(work)) return // its client's deadline was there first
    if (work.next !== undefined) return this.#free(work, work.next)
    const current = round === open?.round
    if (work.leftOver) return this.#record(client, round, endOf(work))
    if (schedule.fate !== "arrives" && !work.overdue) {
      this.#record(client, round, endOf(work))
      work.fate = schedule.fate
      if (current) this.#gone.add(work)
      else this.#giveUp(work)
    } else if (!work.overdue && open && (current || this.setting.rounds.carries(round))) {
      work.countedRound = open.round
      this.#let(work)
      work.release()
    } else {
      this.#let(work, "late")
      work.refuse(roundIsOver(work))
    }
  }

  /** A device that was busy takes up what it was given, if that may still be answered. */
  #free(work: Work, next: number): void {
    const { client, round } = work
    const offered = this.setting.rounds.offers(next)
    if (!this.#recorded.has(`${client} ${round}`)) this.#record(client, round, endOf(work))
    work.fate = "late"
    if (!offered) this.#underWay.set(`${client} ${next}`, work)
    this.setting.rounds.ended(client, round)
    if (offered) work.takeUp()
    else work.refuse(roundIsOver(work))
  }

  /** Devices that left a round are there again once it is over. */
  #bringBack(open: OpenRound): void {
    for (const work of this.#gone)
      if (work.round !== open.round) {
        this.#gone.delete(work)
        this.#giveUp(work)
      }
  }

  #giveUp(work: Work): void {
    this.#let(work, work.fate)
    work.refuse(roundIsOver(work))
  }

  #let(work: Work, fate?: Work["fate"]): void {
    if (fate === "late") this.#record(work.client, work.round, "late")
    work.fate = fate
    this.#underWay.set(`${work.client} ${work.round}`, work)
  }

  /** Trains what will be needed, in the order in which it will be. */
  #trainAhead(open: OpenRound): void {
    const { rounds, workers } = this.setting
    const needed = this.#inOrder().filter(
      ({ round, next, leftOver, schedule, overdue }) =>
        schedule.fate === "arrives" &&
        next === undefined &&
        !leftOver &&
        !overdue &&
        (round === open.round || rounds.carries(round)),
    )
    const missing = Math.max(1, open.wanted - open.accepted())
    let busy = [...this.#works].filter(({ state }) => state === "training").length
    for (const work of needed.slice(0, missing)) {
      if (work.state !== "waiting") continue
      if (busy >= workers) break
      work.start(() => this.#trainAhead(open))
      busy += 1
    }
  }

  #inOrder(): Work[] {
    return [...this.#works].sort(
      (left, right) => left.dueMs - right.dueMs || compareNames(left.client, right.client) || left.round - right.round,
    )
  }

  async #draw(): Promise<void> {
    const { rounds, clock } = this.setting
    await rounds.tick()
    if (rounds.over || (await rounds.open())) return
    // too few devices are there: time passes, others come
    if (++this.#looks > LOOKS_MAX) throw tooFewDevices(rounds.number + 1)
    await setImmediate() // whoever wants to stop this is heard
    const first = this.#inOrder()[0]
    const later = clock.now() + LOOK_AGAIN_MS
    if (first && first.dueMs < later) this.#arrive(first, undefined)
    else this.#moveTo(later)
  }

  #moveTo(ms: number): void {
    const { clock, history } = this.setting
    if (ms <= clock.now()) return
    history.add({ kind: "time", atMs: ms })
    clock.advanceTo(ms)
  }

  /** A round that was taken up before keeps its schedule; else it starts when it opened, or when the client is free. */
  async #scheduleOf(client: VirtualClient, task: TrainingTask & { bytesDown: number }): Promise<Schedule> {
    const { history, rounds, seed, cost } = this.setting
    const begun = history.begun(client.name)
    const known = begun.find(({ round }) => round === task.round)
    if (known) return known.schedule
    const before = begun.findLast(({ round }) => round < task.round)
    const freeMs = before ? await rounds.freeMs(before.round, before.schedule) : 0
    const startMs = Math.max(await rounds.openedMs(task.round), freeMs)
    return scheduleOf({ ...task, client: client.name, startMs }, client.device, { seed, cost })
  }

  /** Nothing once the simulation is to stop: what it interrupts is no end, the next process takes it up again. */
  #record(
    client: string,
    round: number,
    outcome: ClientOutcome,
    { countedRound = round, code, reason }: { countedRound?: number | undefined } & Pick<Heard, "code" | "reason"> = {},
  ): void {
    if (this.setting.signal.aborted) return
    const atMs = this.setting.clock.now()
    const staleness = this.setting.rounds.buffered && outcome === "accepted" ? { staleness: countedRound - round } : {}
    const cause = outcome === "failed" || outcome === "rejected" ? { code, reason } : {}
    this.#recorded.add(`${client} ${round}`)
    this.setting.history.add({ kind: "client", round, client, outcome, atMs, ...staleness, ...cause })
  }

  /**
   * The run is over: who took up a round and has not heard how it ended is late, also where the simulation was stopped
   * in between.
   */
  letAllGo(): void {
    for (const { client, round } of this.setting.history.allBegun()) {
      const key = `${client} ${round}`
      if (!this.#recorded.has(key) && !this.#underWay.has(key)) this.#record(client, round, "late")
    }
    for (const work of [...this.#works, ...this.#gone]) {
      work.fate ??= "late"
      work.refuse(roundIsOver(work))
    }
    this.#works.clear()
    this.#gone.clear()
  }
}

const busy = (): Promise<never> => Promise.reject(new TypeError("a device that is busy trains nothing new"))

/** How a device ended that brought nothing in time. */
function endOf({ overdue, schedule: { fate } }: Work): ClientOutcome {
  return overdue || fate === "arrives" ? "late" : fate === "drops" ? "dropped" : "out-of-memory"
}

/** What ends a virtual training whose round needs it no more. */
function roundIsOver({ client, round }: Work): LaminaError {
  return new LaminaError("ROUND_CLOSED", `round ${round} ended before the virtual device of ${client} was ready`)
}

function tooFewDevices(round: number): LaminaError {
  return new LaminaError(
    "RUN_STATE",
    `round ${round}: expected a quorum of devices to be there at once, got a week without`,
    {
      hint: "raise the devices' availability, or lower cohort.quorum or cohort.clients",
    },
  )
}

function outcomeOf(outcome: string): ClientOutcome {
  if (outcome === "accepted" || outcome === "duplicate") return "accepted"
  if (outcome === "rejected") return "rejected"
  return outcome === "late" || outcome === "closed" || outcome === "missed" ? "late" : "failed"
}
