import { LaminaError } from "@lamina/protocol/errors"
import { Recipe } from "@lamina/protocol/recipe"

import type { RoundRow, RunRow } from "../store/schema.js"
import type { Store } from "../store/store.js"

/** One round as a run's summary shows it. */
export interface RoundSummary {
  readonly round: number
  readonly state: RoundRow["state"]
  readonly cohort: number
  readonly accepted: number
  readonly rejected: number
  readonly adapterHash?: string
  readonly reason?: string
}

/** A run as it stands; rounds in order. */
export interface RunSummary {
  readonly id: string
  readonly name: string
  readonly state: RunRow["state"]
  readonly reason?: string
  /** What an active run lacks to begin its next round, for people; nothing while a round is open. */
  readonly waiting?: string
  readonly strategy: string
  readonly roundsPlanned: number
  /** The recipe's base: a folder of the coordinator's machine. */
  readonly base: string
  readonly baseHash: string
  readonly globalAdapterHash?: string
  readonly createdMs: number
  readonly endedMs?: number
  readonly rounds: readonly RoundSummary[]
  /** Weight of each client's last accepted update, by client name. */
  readonly weights: Readonly<Record<string, number>>
}

/**
 * Summaries of all runs, kept in memory so that looking costs nothing; built from the store at start, in step with it
 * afterwards.
 */
export class RunBook {
  readonly #runs = new Map<string, Omit<RunSummary, "weights">>()
  readonly #weights = new Map<string, Map<string, number>>()

  static async load(store: Store): Promise<RunBook> {
    const book = new RunBook()
    for (const row of await store.runs()) {
      book.add(row)
      for (const round of await store.rounds(row.id)) book.putRound(round)
      for (const { client_name, weight } of await store.weights(row.id)) book.weigh(row.id, client_name, weight)
    }
    return book
  }

  all(): RunSummary[] {
    return [...this.#runs.keys()].map((id) => this.run(id))
  }

  /** Throws NOT_FOUND. */
  run(id: string): RunSummary {
    return { ...this.standing(id), weights: Object.fromEntries(this.#weights.get(id) ?? []) }
  }

  /** How a run stands, without what each client weighs; a thousand clients ask when it ends. Throws NOT_FOUND. */
  standing(id: string): Omit<RunSummary, "weights"> {
    const run = this.#runs.get(id)
    if (!run) throw new LaminaError("NOT_FOUND", `expected a run of this coordinator, got "${id.slice(0, 100)}"`)
    return run
  }

  add(row: RunRow): void {
    const recipe = Recipe.parse(JSON.parse(row.recipe))
    this.#runs.set(row.id, {
      id: row.id,
      name: row.name,
      state: row.state,
      ...(row.reason === null ? {} : { reason: row.reason }),
      strategy: recipe.strategy,
      roundsPlanned: recipe.rounds,
      base: recipe.base,
      baseHash: row.base_hash,
      ...(row.global_adapter_hash === null ? {} : { globalAdapterHash: row.global_adapter_hash }),
      createdMs: row.created_ms,
      ...(row.ended_ms === null ? {} : { endedMs: row.ended_ms }),
      rounds: [],
    })
    this.#weights.set(row.id, new Map())
  }

  /** Adds a round or replaces what was said of it. */
  putRound(row: RoundRow): void {
    const run = this.#runs.get(row.run_id)
    if (!run) return
    const summary: RoundSummary = {
      round: row.round,
      state: row.state,
      cohort: row.cohort,
      accepted: row.accepted,
      rejected: row.rejected,
      ...(row.adapter_hash === null ? {} : { adapterHash: row.adapter_hash }),
      ...(row.reason === null ? {} : { reason: row.reason }),
    }
    const rounds = [...run.rounds.filter(({ round }) => round !== row.round), summary]
    this.#change(run, {
      waiting: undefined,
      rounds: rounds.sort((left, right) => left.round - right.round),
      ...(row.adapter_hash === null ? {} : { globalAdapterHash: row.adapter_hash }),
    })
  }

  /** Says what a run waits for until a round of it is put or it ends. */
  wait(runId: string, waiting: string): void {
    const run = this.#runs.get(runId)
    if (run) this.#change(run, { waiting })
  }

  weigh(runId: string, client: string, weight: number): void {
    this.#weights.get(runId)?.set(client, weight)
  }

  end(runId: string, end: { state: RunRow["state"]; reason?: string; atMs: number }): void {
    const { state, reason, atMs } = end
    const run = this.#runs.get(runId)
    if (run)
      this.#change(run, { waiting: undefined, state, endedMs: atMs, ...(reason === undefined ? {} : { reason }) })
  }

  #change(run: Omit<RunSummary, "weights">, change: Partial<RunSummary>): void {
    this.#runs.set(run.id, { ...run, ...change })
  }
}
