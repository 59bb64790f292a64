import { randomUUID } from "node:crypto"
import { setMaxListeners } from "node:events"
import { join } from "node:path"
import { availableParallelism } from "node:os"

import { LaminaClient, createTunerTrainer } from "@lamina/client"
import { decodeAdapter } from "@lamina/protocol"
import type { Adapter } from "@lamina/protocol"
import { LaminaError } from "@lamina/protocol/errors"
import type { Recipe } from "@lamina/protocol/recipe"
import { startCoordinator } from "@lamina/server"
import type { RunningCoordinator } from "@lamina/server"
import { writePeftAdapter } from "@lamina/tuner"
import type { TunerPool } from "@lamina/tuner"

import type { FederationView } from "../output/progress.js"
import { ensureRun } from "../ensure-run.js"
import { perplexity, scoreHeldOut } from "./held-out.js"
import type { HeldOutText, Scores } from "./held-out.js"
import { History } from "./journal.js"
import { namedClients } from "./virtual-client.js"
import type { VirtualClient } from "./virtual-client.js"

interface SimulationOptions {
  readonly recipe: Recipe
  /**
   * Everything the run leaves: coordinator/, clients/, history.jsonl, adapter/. A second run with the same folder
   * goes on.
   */
  readonly out: string
  readonly pool: TunerPool
  readonly view: FederationView
  readonly signal: AbortSignal
}

export interface SimulationResult {
  readonly run: string
  readonly rounds: number
  readonly clients: readonly { name: string; rank: number; precision: string; tokens: number }[]
  /** Held-out scores by round, round 0 first; empty when no client has held-out text. */
  readonly scores: readonly { round: number; scores: Scores }[]
  readonly history: History
  readonly adapterHash: string
  readonly globalAdapter: Adapter
  /** PEFT folder of the global adapter. */
  readonly adapter: string
}

/**
 * A whole federation in this process: the production coordinator and the production clients over loopback sockets,
 * one tuner pool, one copy
 * of the base per precision. Throws RECIPE_INVALID without `simulation.clients`, and the run's failure if it fails.
 */
export async function simulate(options: SimulationOptions): Promise<SimulationResult> {
  const { recipe, out, view } = options
  const clients = namedClients(recipe)
  const dataDir = join(out, "coordinator")
  const joinToken = randomUUID() // whatever the environment says to a coordinator for others
  const alone = { host: "127.0.0.1", port: 0, joinToken }
  const coordinator = await startCoordinator({ dataDir, logLevel: "error", ...alone })
  try {
    const cohort = { ...recipe.cohort, clients: clients.length }
    const run = await ensureRun(coordinator, dataDir, { ...recipe, cohort })
    view.note(`run ${run.id}, coordinator at ${coordinator.url}, kernels ${options.pool.kernels}`)
    if (run.existed)
      view.note(run.state === "done" ? "the run is over, nothing to train" : "the run goes on where it was")
    return await new Simulation({ ...options, clients, coordinator, joinToken, run: run.id }).finish()
  } finally {
    await coordinator.close()
    view.close()
  }
}

class Simulation {
  readonly #history: History
  readonly #texts: readonly HeldOutText[]
  readonly #stop = new AbortController()
  #scoring: Promise<void> = Promise.resolve()
  #failure: unknown

  constructor(
    private readonly setting: SimulationOptions & {
      readonly clients: readonly VirtualClient[]
      readonly coordinator: RunningCoordinator
      readonly joinToken: string
      readonly run: string
    },
  ) {
    this.#history = new History(setting.out)
    this.#texts = setting.clients.flatMap(({ name, heldOut, precision }) =>
      heldOut === undefined ? [] : [{ name, data: heldOut, precision }],
    )
  }

  async finish(): Promise<SimulationResult> {
    const { coordinator, run, signal } = this.setting
    const all = AbortSignal.any([signal, this.#stop.signal])
    setMaxListeners(0, all) // every client listens a few times over: Node's limit of 10 is no leak here
    this.#watchRounds()
    this.#score(0, async () => [])
    try {
      await Promise.all(this.setting.clients.map((client) => this.#participate(client, all)))
    } finally {
      this.#stop.abort()
    }
    await this.#scoring
    signal.throwIfAborted()
    if (this.#failure !== undefined) throw this.#failure
    const state = coordinator.run(run)
    if (state.state !== "done" || state.globalAdapterHash === undefined)
      throw new LaminaError("RUN_STATE", `run ${run} ended as "${state.state}" after ${state.rounds.length} rounds`, {
        ...(state.reason === undefined ? {} : { hint: state.reason }),
      })
    return this.#result(state.globalAdapterHash)
  }

  async #result(adapterHash: string): Promise<SimulationResult> {
    const { coordinator, recipe, run, clients, out } = this.setting
    const globalAdapter = decodeAdapter(await coordinator.adapter(adapterHash))
    const adapter = join(out, "adapter")
    await writePeftAdapter(adapter, globalAdapter, { baseName: recipe.base })
    const weights = coordinator.run(run).weights
    return {
      run,
      rounds: recipe.rounds,
      clients: clients.map(({ name, rank, precision }) => {
        return { name, rank, precision, tokens: weights[name] ?? 0 }
      }),
      scores: this.#history.scores(),
      history: this.#history,
      adapterHash,
      globalAdapter,
      adapter,
    }
  }

  #watchRounds(): void {
    const { coordinator, view, recipe } = this.setting
    coordinator.on("roundOpened", ({ round, clients }) => view.roundOpened({ round, rounds: recipe.rounds, clients }))
    coordinator.on("roundPublished", ({ round, adapterHash }) => {
      this.#score(round, async () => [decodeAdapter(await coordinator.adapter(adapterHash))])
    })
  }

  /** Scores are made one round after another beside the training; a failure ends the simulation. */
  #score(round: number, adapters: () => Promise<readonly Adapter[]>): void {
    const { view } = this.setting
    this.#scoring = this.#scoring
      .then(async () => {
        const scores = await this.#scoreRound(round, await adapters())
        const summary = scores ? `held-out perplexity ${perplexity(scores.overall).toFixed(2)}` : ""
        if (round > 0) view.roundPublished({ round, summary })
        else if (scores) view.note(`base: ${summary}`)
      })
      .catch((error: unknown) => {
        this.#failure ??= error
        this.#stop.abort()
      })
  }

  async #scoreRound(round: number, adapters: readonly Adapter[]): Promise<Scores | undefined> {
    if (this.#texts.length === 0) return undefined
    const known = this.#history.scores().find((scored) => scored.round === round)
    if (known) return known.scores
    const { pool, recipe, signal } = this.setting
    const setting = { pool, baseFolder: recipe.base, context: recipe.training.context, signal }
    const scores = await scoreHeldOut(setting, this.#texts, () => adapters)
    this.#history.add({ kind: "scores", round, scores })
    return scores
  }

  async #participate(client: VirtualClient, signal: AbortSignal): Promise<void> {
    const { coordinator, joinToken, run, out, pool, recipe, view } = this.setting
    const agent = new LaminaClient({
      coordinator: coordinator.url,
      joinToken,
      name: client.name,
      data: client.data,
      base: recipe.base,
      runId: run,
      workDir: join(out, "clients", client.name),
      cacheDir: join(out, "cache"),
      precision: client.precision,
      rank: client.rank,
      trainer: createTunerTrainer({ pool }),
    })
    agent.on("progress", ({ round, step, steps, loss }) => {
      view.training(client.name, { step, steps, loss })
      this.#history.add({ kind: "step", round, client: client.name, step, loss })
    })
    agent.on("receipt", ({ round, status }) => {
      view.receipt(client.name, status)
      this.#history.add({ kind: "receipt", round, client: client.name, status })
    })
    await agent.participate({ signal })
  }
}

/** Workers for a federation on this machine: one single-threaded worker per core, small jobs side by side. */
export function simulationWorkers(): { workers: number; threads: number } {
  return { workers: availableParallelism(), threads: 1 }
}
