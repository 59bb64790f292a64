import { hasErrorCode } from "@lamina/protocol/errors"
import type { RoundView, RunningCoordinator } from "@lamina/server"

import { chance } from "./chance.js"
import type { Schedule } from "./device-time.js"
import type { VirtualClient } from "./virtual-client.js"
import type { VirtualClock } from "./virtual-clock.js"

/** The round that collects now; times in ms of virtual time since 1970. */
export interface OpenRound {
  readonly round: number
  readonly softDeadlineMs: number
  readonly hardDeadlineMs: number
  /** Updates that close it. */
  readonly wanted: number
  /** Updates accepted so far. */
  accepted(): number
}

type Member = RoundView["members"][number]
type Terms = Pick<RoundView, "openedMs" | "softDeadlineMs" | "hardDeadlineMs" | "wanted">

/** How often the coordinator looks whether a failed aggregation is to be tried again; real time. */
const LOOK_MS = 1_000

interface WatchSetting {
  readonly coordinator: RunningCoordinator
  readonly run: string
  readonly clients: readonly VirtualClient[]
  readonly seed: number
  readonly clock: VirtualClock
  /** Buffered runs: how many rounds later an update still counts. */
  readonly stalenessMax: number | undefined
  /** What keeps the run from going on and will not go away by itself. */
  readonly fail: (error: unknown) => void
}

/** What the coordinator and its clients are doing, as far as it decides when virtual time may move. */
export class RoundWatch {
  over = false
  /** Rounds may draw their cohorts: who is connected by then must not depend on how fast sockets are. */
  ready = false
  /** The newest round that was opened; 0 before the first. */
  number = 0
  /** Client -> the newest round it was drawn for. */
  readonly #drawn = new Map<string, number>()
  /** Of the newest round. */
  #phase: "collecting" | "aggregating" | "over" = "over"
  /** Client -> the round it is to take up, now, with nothing that keeps it. */
  readonly #expected = new Map<string, number>()
  readonly #abandoned = new Set<number>()
  /** Client -> the round it is at. */
  readonly #active = new Map<string, number>()
  readonly #waiting = new Set<() => void>()
  readonly #terms = new Map<number, Promise<Terms>>()
  readonly #hardDeadlineMs = new Map<number, number>()
  readonly #availability: ReadonlyMap<string, number>

  constructor(private readonly setting: WatchSetting) {
    const { coordinator, clients } = setting
    this.#availability = new Map(clients.map(({ name, device }) => [name, device.availability]))
    coordinator.on("roundOpened", ({ round, clients: cohort }) => this.#opened(round, cohort))
    coordinator.on("roundSealed", () => this.#change(() => (this.#phase = "aggregating")))
    coordinator.on("roundAbandoned", ({ round }) => this.#abandoned.add(round))
    for (const name of ["roundPublished", "roundAbandoned"] as const) coordinator.on(name, () => this.#roundOver())
    coordinator.on("runStalled", ({ error }) => {
      if (hasErrorCode(error) && error.code === "PLAN_INFEASIBLE") setting.fail(error)
    })
    coordinator.on("runEnded", () => this.#change(() => (this.over = true)))
  }

  /**
   * Takes up a run where the coordinator says it is. Who has not answered the open round takes it up again, and in
   * buffered runs who has not answered an earlier one that may still be answered.
   */
  async resume(): Promise<void> {
    const { coordinator, run } = this.setting
    const { state, rounds } = coordinator.run(run)
    this.over = state !== "active"
    const last = rounds.at(-1)
    if (!last || this.over) return
    for (const { round, state: ended } of rounds) if (ended === "abandoned") this.#abandoned.add(round)
    this.number = last.round
    this.#phase = phaseOf(last.state)
    for (const { round, state: now } of rounds) {
      if (now !== "collecting" && !this.carries(round)) continue
      await this.#termsOf(round)
      if (!this.offers(round)) continue
      const { members } = await coordinator.round(run, round)
      const waiting = members.filter(({ status }) => status === "waiting").map(({ client }) => client)
      if (now === "collecting") this.#opened(round, waiting)
      else
        for (const client of waiting) {
          this.#drawn.set(client, round)
          this.#expected.set(client, round)
        }
    }
  }

  /** Whether a client is to take up this round, now. */
  expects(client: string, round: number): boolean {
    return this.#expected.get(client) === round
  }

  /** Whether an update may count though its round is over. */
  get buffered(): boolean {
    return this.setting.stalenessMax !== undefined
  }

  /** Buffered runs: whether an update for this round counts in the newest one, or in the next where that is over. */
  carries(round: number): boolean {
    const { stalenessMax = -1 } = this.setting
    const next = this.#phase === "over" ? this.number + 1 : this.number
    return next - round <= stalenessMax && !this.#abandoned.has(round)
  }

  /** Whether the coordinator gives this round to a client that was drawn for it. */
  offers(round: number): boolean {
    if (round === this.number && this.#phase === "collecting") return true
    return this.carries(round) && this.setting.clock.now() < (this.#hardDeadlineMs.get(round) ?? Infinity)
  }

  /** Whether a device is there when a round looks for its cohort: drawn anew whenever virtual time has moved. */
  present(name: string, round: number): boolean {
    const { seed, clock } = this.setting
    const likely = this.#availability.get(name) ?? 1
    return likely >= 1 || chance(seed, "available", round, clock.now(), name) < likely
  }

  begun(client: string, round: number): void {
    this.#change(() => {
      this.#active.set(client, round)
      this.#expected.delete(client)
    })
  }

  /** A client is through with a round: where it was drawn for a newer one, that is what it takes up next. */
  ended(client: string, round: number): void {
    this.#change(() => {
      if ((this.#active.get(client) ?? round) !== round) return // it has taken up another since
      this.#active.delete(client)
      this.#expected.delete(client)
      const next = this.#drawn.get(client) ?? 0
      if (round < next && this.offers(next)) this.#expected.set(client, next)
    })
  }

  /** Nothing is under way that could still change what happens next. */
  quiet(): boolean {
    return this.#phase !== "aggregating" && this.#expected.size === 0
  }

  /** Resolves once the condition holds; an aggregation that failed is tried again meanwhile. */
  async until(condition: () => boolean, signal: AbortSignal): Promise<void> {
    while (!condition()) {
      signal.throwIfAborted()
      await new Promise<void>((resolve) => {
        const look = setInterval(() => this.#phase === "aggregating" && void this.tick(), LOOK_MS)
        const wake = () => {
          clearInterval(look)
          signal.removeEventListener("abort", wake)
          this.#waiting.delete(wake)
          resolve()
        }
        this.#waiting.add(wake)
        signal.addEventListener("abort", wake, { once: true })
      })
    }
  }

  tick(): Promise<void> {
    return this.setting.coordinator.tick()
  }

  /** The round that collects, if one does. */
  async open(): Promise<OpenRound | undefined> {
    const { coordinator, run } = this.setting
    const last = coordinator.run(run).rounds.at(-1)
    if (last?.state !== "collecting") return undefined
    const { softDeadlineMs, hardDeadlineMs, wanted } = await this.#termsOf(last.round)
    const accepted = () => coordinator.run(run).rounds.find(({ round }) => round === last.round)?.accepted ?? 0
    return { round: last.round, softDeadlineMs, hardDeadlineMs, wanted, accepted }
  }

  async openedMs(round: number): Promise<number> {
    return (await this.#termsOf(round)).openedMs
  }

  /** A round's hard deadline. */
  async endsMs(round: number): Promise<number> {
    return (await this.#termsOf(round)).hardDeadlineMs
  }

  /** What the coordinator has of every update of a round, by client. */
  async answers(round: number): Promise<ReadonlyMap<string, Pick<Member, "status" | "countedRound">>> {
    const { members } = await this.setting.coordinator.round(this.setting.run, round)
    return new Map(members.map((member) => [member.client, member]))
  }

  /** When a client that took up a round in this way may take up another. */
  async freeMs(round: number, { fate, endMs }: Schedule): Promise<number> {
    const throughMs = Math.min(endMs, await this.endsMs(round))
    if (fate === "arrives") return throughMs
    // who left a round is there again once it is over
    return Math.max(throughMs, (await this.setting.coordinator.round(this.setting.run, round)).endedMs ?? 0)
  }

  /** What was fixed when a round opened: looked up once, since it is asked for at every event. */
  #termsOf(round: number): Promise<Terms> {
    const known = this.#terms.get(round)
    if (known) return known
    const asked = this.setting.coordinator.round(this.setting.run, round).then((terms) => {
      this.#hardDeadlineMs.set(round, terms.hardDeadlineMs)
      return terms
    })
    this.#terms.set(round, asked)
    return asked
  }

  #opened(round: number, cohort: readonly string[]): void {
    this.#change(() => {
      this.number = round
      this.#phase = "collecting"
      for (const client of cohort) this.#drawn.set(client, round)
      this.#forgetTooOld()
      for (const client of cohort) if (!this.#active.has(client)) this.#expected.set(client, round)
    })
  }

  #roundOver(): void {
    this.#change(() => {
      this.#phase = "over"
      this.#forgetTooOld()
    })
  }

  /** Nobody takes up any more what counts nowhere. */
  #forgetTooOld(): void {
    for (const [client, round] of this.#expected) if (!this.carries(round)) this.#expected.delete(client)
  }

  #change(change: () => void): void {
    change()
    for (const wake of [...this.#waiting]) wake()
  }
}

function phaseOf(state: RoundView["state"]): "collecting" | "aggregating" | "over" {
  if (state === "collecting") return state
  return state === "published" || state === "abandoned" ? "over" : "aggregating"
}
