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
  /** What keeps the run from going on and will not go away by itself. */
  readonly fail: (error: unknown) => void
}

/** What the coordinator and its clients are doing, as far as it decides when virtual time may move. */
export class RoundWatch {
  over = false
  /** No cohort is drawn before: who is connected by then must not depend on how fast sockets are. */
  #begun = false
  /** The newest round that was opened; 0 before the first. */
  number = 0
  #cohort: readonly string[] = []
  #aggregating = false
  /** Of the open round: who has not taken it up yet, though nothing keeps them. */
  readonly #expected = new Set<string>()
  /** Client -> the round it is at. */
  readonly #active = new Map<string, number>()
  readonly #waiting = new Set<() => void>()
  readonly #terms = new Map<number, Promise<Terms>>()
  readonly #availability: ReadonlyMap<string, number>

  constructor(private readonly setting: WatchSetting) {
    const { coordinator, clients } = setting
    this.#availability = new Map(clients.map(({ name, device }) => [name, device.availability]))
    coordinator.on("roundOpened", ({ round, clients: cohort }) => this.#opened(round, cohort))
    coordinator.on("roundSealed", () => this.#change(() => (this.#aggregating = true)))
    for (const name of ["roundPublished", "roundAbandoned"] as const)
      coordinator.on(name, () => this.#change(() => (this.#aggregating = false)))
    coordinator.on("runStalled", ({ error }) => {
      if (hasErrorCode(error) && error.code === "PLAN_INFEASIBLE") setting.fail(error)
    })
    coordinator.on("runEnded", () => this.#change(() => (this.over = true)))
  }

  /** Takes up a run where the coordinator says it is. */
  async resume(): Promise<void> {
    const { coordinator, run } = this.setting
    const { state, rounds } = coordinator.run(run)
    this.over = state !== "active"
    const last = rounds.at(-1)
    if (!last || this.over) return
    const { members } = await coordinator.round(run, last.round)
    this.number = last.round
    this.#aggregating = last.state === "sealed" || last.state === "aggregating"
    if (last.state === "collecting")
      this.#opened(
        last.round,
        members.filter(({ status }) => status === "waiting").map(({ client }) => client),
      )
  }

  /** Everybody is connected: rounds may draw their cohorts. */
  begin(): void {
    this.#begun = true
  }

  /** Whether a device is there when a round looks for its cohort: drawn anew whenever virtual time has moved. */
  present(name: string, round: number): boolean {
    if (!this.#begun) return false
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

  /** A client is through with a round: where it is of the cohort of a newer one, that is what it takes up next. */
  ended(client: string, round: number): void {
    this.#change(() => {
      this.#active.delete(client)
      this.#expected.delete(client)
      if (round < this.number && this.#cohort.includes(client)) this.#expected.add(client)
    })
  }

  /** Nothing is under way that could still change what happens next. */
  quiet(): boolean {
    return !this.#aggregating && this.#expected.size === 0
  }

  /** Resolves once the condition holds; an aggregation that failed is tried again meanwhile. */
  async until(condition: () => boolean, signal: AbortSignal): Promise<void> {
    while (!condition()) {
      signal.throwIfAborted()
      await new Promise<void>((resolve) => {
        const look = setInterval(() => this.#aggregating && void this.tick(), LOOK_MS)
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
    if (fate === "arrives") return Math.min(endMs, (await this.#termsOf(round)).hardDeadlineMs)
    return (await this.setting.coordinator.round(this.setting.run, round)).endedMs ?? 0
  }

  /** What was fixed when a round opened: looked up once, since it is asked for at every event. */
  #termsOf(round: number): Promise<Terms> {
    const known = this.#terms.get(round) ?? this.setting.coordinator.round(this.setting.run, round)
    this.#terms.set(round, known)
    return known
  }

  #opened(round: number, cohort: readonly string[]): void {
    this.#change(() => {
      this.number = round
      this.#cohort = cohort
      this.#expected.clear()
      for (const client of cohort) if (!this.#active.has(client)) this.#expected.add(client)
    })
  }

  #change(change: () => void): void {
    change()
    for (const wake of [...this.#waiting]) wake()
  }
}
