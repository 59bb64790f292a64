import type { ClientId } from "../round/round.js"
import type { Store } from "../store/store.js"

/** Buffered runs: who still trains for an earlier round, whose update would be carried into the one that is open. */
export class BusyClients {
  readonly #roundOf = new Map<ClientId, number>()

  /**
   * As the store says it is for rounds `first` to `last`, whose updates are not too late yet. A round without its key
   * was abandoned: it takes none.
   */
  static async load(store: Store, runId: string, span: { first: number; last: number }): Promise<BusyClients> {
    const busy = new BusyClients()
    for (let round = Math.max(1, span.first); round <= span.last; round++) {
      if (!(await store.round(runId, round))?.recipient_secret) continue
      const plans = await store.plans(runId, round)
      busy.opened(
        round,
        plans.map(({ client_id }) => client_id),
      )
      for (const { client_id } of await store.updates(runId, round)) busy.answered(client_id, round)
    }
    return busy
  }

  opened(round: number, cohort: readonly ClientId[]): void {
    for (const id of cohort) this.#roundOf.set(id, round)
  }

  answered(id: ClientId, round: number): void {
    if (this.#roundOf.get(id) === round) this.#roundOf.delete(id)
  }

  /** An abandoned round takes no updates: its clients are free again. */
  forget(round: number): void {
    for (const [id, begun] of this.#roundOf) if (begun === round) this.#roundOf.delete(id)
  }

  /** What was begun before `round` would come too late: its clients are free again. */
  forgetBefore(round: number): void {
    for (const [id, begun] of this.#roundOf) if (begun < round) this.#roundOf.delete(id)
  }

  has(id: ClientId): boolean {
    return this.#roundOf.has(id)
  }

  /** The round a client trains for: the newest it was drawn for. */
  roundOf(id: ClientId): number | undefined {
    return this.#roundOf.get(id)
  }

  get count(): number {
    return this.#roundOf.size
  }
}
