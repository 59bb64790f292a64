import type { ClientProgress } from "./events.js"

type Shown = Pick<ClientProgress, "phase" | "step" | "steps" | "loss" | "tokensPerSecond">

/** The latest progress of every client in the round that is open; in memory only, and gone with the round. */
export class ProgressBoard {
  readonly #latest = new Map<string, Map<string, Shown>>()

  put({ runId, round, clientId, phase, step, steps, loss, tokensPerSecond }: ClientProgress): void {
    const key = keyOf(runId, round)
    const clients = this.#latest.get(key) ?? new Map<string, Shown>()
    this.#latest.set(key, clients.set(clientId, { phase, step, steps, loss, tokensPerSecond }))
  }

  of(runId: string, round: number, clientId: string): Shown | undefined {
    return this.#latest.get(keyOf(runId, round))?.get(clientId)
  }

  forget(runId: string, round: number): void {
    this.#latest.delete(keyOf(runId, round))
  }
}

function keyOf(runId: string, round: number): string {
  return `${runId}/${round}`
}
