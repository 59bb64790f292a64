import { toHex } from "@lamina/crypto"
import { messages } from "@lamina/protocol"
import { LaminaError, errorCodeOfWire } from "@lamina/protocol/errors"

import type { Answer, RoundTerms } from "../round/round.js"
import type { AdapterRow, RoundRow, UpdateRow } from "../store/schema.js"
import type { AggregationReport } from "../worker/jobs.js"
import type { CoordinatorContext } from "./context.js"
import type { ClientProgress } from "./events.js"
import type { ProgressBoard } from "./progress-board.js"
import { restoreRound } from "./round-log.js"
import type { RoundSummary, RunSummary } from "./run-book.js"

export interface FederationView {
  readonly id: string
  readonly coordinatorKey: string
  readonly createdMs: number
  readonly software: string
}

export interface ClientView {
  readonly id: string
  readonly name: string
  readonly connected: boolean
  readonly capability: Readonly<Record<string, string | number>>
  readonly firstSeenMs: number
  readonly lastSeenMs: number
}

export interface AdapterView {
  readonly hash: string
  readonly runId: string
  readonly round: number
  readonly bytes: number
}

/** One member of a cohort, with what came of its update. */
interface CohortView {
  readonly clientId: string
  readonly client: string
  readonly rank: number
  readonly precision: string
  /** `failed`: it said that it brings none, and `code` why. */
  readonly status: "waiting" | "accepted" | "rejected" | "failed"
  readonly code?: string
  readonly weight?: number
  /** Buffered runs: the round an accepted update counts in. */
  readonly countedRound?: number
  readonly metrics?: Readonly<Record<string, number>>
  readonly progress?: Pick<ClientProgress, "phase" | "step" | "steps" | "loss" | "tokensPerSecond">
}

export interface RoundView extends RoundSummary {
  readonly runId: string
  readonly headerHash: string
  /** Updates that close the round. */
  readonly wanted: number
  readonly quorum: number
  readonly softDeadlineMs: number
  readonly hardDeadlineMs: number
  readonly openedMs: number
  readonly endedMs?: number
  readonly report?: AggregationReport
  readonly members: readonly CohortView[]
}

/** What the coordinator shows of itself as JSON. */
export class Views {
  constructor(
    private readonly context: CoordinatorContext,
    private readonly setting: {
      readonly software: string
      readonly createdMs: number
      readonly progress: ProgressBoard
    },
  ) {}

  federation(): FederationView {
    const { identity } = this.context
    const { software, createdMs } = this.setting
    return { id: toHex(identity.federationId), coordinatorKey: toHex(identity.signer.publicKey), createdMs, software }
  }

  async clients(): Promise<ClientView[]> {
    const { store, sessions } = this.context
    return (await store.clients()).map((row) => ({
      id: row.id,
      name: row.name,
      connected: sessions.connected.has(row.id),
      capability: JSON.parse(row.capability) as ClientView["capability"],
      firstSeenMs: row.first_seen_ms,
      lastSeenMs: row.last_seen_ms,
    }))
  }

  async adapters(): Promise<AdapterView[]> {
    const rows = await this.context.store.adapters()
    return rows.map(({ hash, run_id, round, bytes }: AdapterRow) => ({ hash, runId: run_id, round, bytes }))
  }

  runs(): RunSummary[] {
    return this.context.book.all()
  }

  run(id: string): RunSummary {
    return this.context.book.run(id)
  }

  async rounds(runId: string): Promise<RoundView[]> {
    this.context.book.run(runId)
    const rows = await this.context.store.rounds(runId)
    return Promise.all(rows.map((row) => this.#round(row)))
  }

  async round(runId: string, round: number): Promise<RoundView> {
    const row = await this.context.store.round(runId, round)
    if (!row) throw new LaminaError("NOT_FOUND", `expected a round of run "${runId.slice(0, 64)}", got ${round}`)
    return this.#round(row)
  }

  async health(): Promise<{ status: "ok"; activeRuns: number; connectedClients: number }> {
    await this.context.store.federation()
    const activeRuns = this.context.book.all().filter(({ state }) => state === "active").length
    return { status: "ok", activeRuns, connectedClients: this.context.sessions.connected.size }
  }

  async #round(row: RoundRow): Promise<RoundView> {
    const terms = JSON.parse(row.terms) as RoundTerms
    const summary = this.context.book.run(row.run_id).rounds.find(({ round }) => round === row.round)
    if (!summary) throw new LaminaError("NOT_FOUND", `expected a round of run ${row.run_id}, got ${row.round}`)
    return {
      ...summary,
      runId: row.run_id,
      headerHash: row.header_hash,
      wanted: terms.wanted ?? terms.cohort.length,
      quorum: terms.quorum,
      softDeadlineMs: terms.softDeadlineMs,
      hardDeadlineMs: terms.hardDeadlineMs,
      openedMs: row.opened_ms,
      ...(row.ended_ms === null ? {} : { endedMs: row.ended_ms }),
      ...(row.report === null ? {} : { report: JSON.parse(row.report) as AggregationReport }),
      members: await this.#members(row),
    }
  }

  async #members(row: RoundRow): Promise<CohortView[]> {
    const { store } = this.context
    const updates = new Map((await store.updates(row.run_id, row.round)).map((update) => [update.client_id, update]))
    const members = await store.plans(row.run_id, row.round)
    const { answers } = { answers: undefined, ...(await restoreRound(store, row)) }
    return members.map(({ client_id, client_name, plan }) => {
      const { modules, precision } = messages.Plan.decode(plan)
      const latest = this.setting.progress.of(row.run_id, row.round, client_id)
      return {
        clientId: client_id,
        client: client_name,
        rank: Math.max(...modules.map(({ rank }) => rank)),
        precision,
        ...outcomeOf(updates.get(client_id), answers?.get(client_id)),
        ...(latest === undefined ? {} : { progress: latest }),
      }
    })
  }
}

function outcomeOf(
  update: UpdateRow | undefined,
  answer: Answer | undefined,
): Pick<CohortView, "status" | "code" | "weight" | "countedRound" | "metrics"> {
  if (!update && answer?.envelopeRoot === "") return { status: "failed", code: answer.verdict }
  if (!update) return { status: "waiting" }
  if (update.status === "REJECTED") return { status: "rejected", code: errorCodeOfWire(update.code) }
  const { weight, counted_round, metrics } = update
  return {
    ...{ status: "accepted", weight, metrics: JSON.parse(metrics) as Record<string, number> },
    ...(counted_round === null ? {} : { countedRound: counted_round }),
  }
}
