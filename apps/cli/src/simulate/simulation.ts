import { randomUUID } from "node:crypto"
import { setMaxListeners } from "node:events"
import { availableParallelism } from "node:os"
import { join } from "node:path"

import { LaminaClient } from "@lamina/client"
import type { LaminaClientOptions } from "@lamina/client"
import { calibratedSpeed } from "@lamina/planner"
import { decodeAdapter } from "@lamina/protocol"
import type { Adapter } from "@lamina/protocol"
import { LaminaError } from "@lamina/protocol/errors"
import type { Recipe, SimulatedDevice } from "@lamina/protocol/recipe"
import { quorumOf, startCoordinator } from "@lamina/server"
import type { RoundView, RunningCoordinator } from "@lamina/server"
import { writePeftAdapter } from "@lamina/tuner"
import type { TunerPool } from "@lamina/tuner"

import { ensureRun } from "../ensure-run.js"
import { counted } from "../output/counted.js"
import type { FederationView } from "../output/progress.js"
import { baseShapeOf } from "../plan/base-shape.js"
import { Conductor } from "./conductor.js"
import { failedRun } from "./failed-run.js"
import type { Scores } from "./held-out.js"
import { History } from "./journal.js"
import { planCost } from "./plan-cost.js"
import type { ClientRows } from "./population.js"
import { RoundScores } from "./round-scores.js"
import { RoundWatch } from "./round-watch.js"
import { virtualClients } from "./virtual-client.js"
import type { VirtualClient } from "./virtual-client.js"
import { VIRTUAL_START_MS, VirtualClock } from "./virtual-clock.js"
import { virtualTrainer } from "./virtual-trainer.js"

interface SimulationOptions {
  readonly recipe: Recipe
  /**
   * Everything the run leaves: coordinator/, clients/, data/, history.jsonl, adapter/. A second run with the same
   * folder goes on.
   */
  readonly out: string
  readonly pool: TunerPool
  readonly view: FederationView
  readonly signal: AbortSignal
  /** Trainings side by side; default: one per core. */
  readonly workers?: number
}

interface SimulatedClient {
  readonly name: string
  readonly rank: number
  readonly precision: string
  readonly device: string
  /** Of its training data; known once an update of it was accepted. */
  readonly tokens?: number
}

export interface SimulationResult {
  readonly run: string
  readonly rounds: number
  readonly clients: readonly SimulatedClient[]
  /** Who holds what, where a population was divided. */
  readonly population?: readonly ClientRows[] | undefined
  /** Held-out scores by round, round 0 first; empty when no client has held-out text. */
  readonly scores: readonly { round: number; scores: Scores }[]
  /** Every round of the run as the coordinator has it. */
  readonly views: readonly RoundView[]
  readonly history: History
  readonly adapterHash: string
  readonly globalAdapter: Adapter
  /** PEFT folder of the global adapter. */
  readonly adapter: string
}

/**
 * A whole federation in this process, on a virtual clock: the production coordinator and the production clients over
 * loopback sockets, one tuner pool, one copy of the base per precision. The same recipe gives the same rounds and the
 * same global adapter, byte for byte, whether or not it was stopped in between. Throws RECIPE_INVALID without clients
 * to simulate, and the run's failure if it fails.
 */
export async function simulate(options: SimulationOptions): Promise<SimulationResult> {
  const { out, view } = options
  const { clients, population } = await virtualClients(options.recipe, join(out, "data"))
  const asked = options.recipe.simulation?.population?.count ?? 0
  if (clients.length < asked)
    view.note(`population: ${counted(clients.length, "client")} of ${asked}, one for each key that the data has`)
  const cohort = { ...options.recipe.cohort, clients: options.recipe.cohort.clients ?? clients.length }
  const recipe = { ...options.recipe, cohort }
  expectQuorum(cohort, clients.length)
  const history = new History(out)
  const clock = new VirtualClock(history.latestMs() ?? VIRTUAL_START_MS)
  const dataDir = join(out, "coordinator")
  const joinToken = randomUUID() // whatever the environment says to a coordinator for others
  const alone = { host: "127.0.0.1", port: 0, joinToken, patienceMs: 0 }
  let watch: RoundWatch | undefined
  const coordinator = await startCoordinator(
    { dataDir, logLevel: "error", ...alone },
    {
      now: clock.now,
      present: (name, round) => watch?.present(name, round) ?? false,
      ready: () => watch?.ready ?? false,
    },
  )
  try {
    expectAlone(coordinator, recipe.name, out)
    const run = await ensureRun(coordinator, dataDir, recipe, "use another --out folder")
    view.note(`run ${run.id}, coordinator at ${coordinator.url}, kernels ${options.pool.kernels}`)
    if (run.existed)
      view.note(run.state === "done" ? "the run is over, nothing to train" : "the run goes on where it was")
    const stop = new AbortController()
    const fail = (error: unknown): void => stop.abort(error)
    const stalenessMax = recipe.cohort.buffer?.stalenessMax
    watch = new RoundWatch({ coordinator, run: run.id, clients, seed: recipe.seed, clock, stalenessMax, fail })
    const parts = {
      ...options,
      recipe,
      clients,
      population,
      coordinator,
      joinToken,
      run: run.id,
      history,
      clock,
      rounds: watch,
      stop,
    }
    return await new Simulation(parts).finish()
  } finally {
    await coordinator.close()
    view.close()
  }
}

/** What all clients of a simulation share. */
interface Party {
  readonly conductor: Conductor
  /** Calibration tokens per token of the reference plan. */
  readonly calibration: number
  readonly all: AbortSignal
  readonly onConnected: (name: string) => void
}

class Simulation {
  readonly #scores: RoundScores
  constructor(
    private readonly setting: SimulationOptions & {
      readonly clients: readonly VirtualClient[]
      readonly population?: readonly ClientRows[] | undefined
      readonly coordinator: RunningCoordinator
      readonly joinToken: string
      readonly run: string
      readonly history: History
      readonly clock: VirtualClock
      readonly rounds: RoundWatch
      /** Aborted with the first failure. */
      readonly stop: AbortController
    },
  ) {
    this.#scores = new RoundScores(setting, this.#fail)
  }

  async finish(): Promise<SimulationResult> {
    const { coordinator, run, signal, rounds, view, recipe, history, out } = this.setting
    const all = AbortSignal.any([signal, this.setting.stop.signal])
    setMaxListeners(0, all) // every client listens a few times over: Node's limit of 10 is no leak here
    coordinator.on("roundOpened", ({ round, clients }) => view.roundOpened({ round, rounds: recipe.rounds, clients }))
    coordinator.on("roundAbandoned", ({ round, reason }) => view.roundAbandoned({ round, reason }))
    this.#scores.watch()
    await rounds.resume()
    await this.#takePart(all)
    await this.#scores.settled()
    signal.throwIfAborted()
    this.setting.stop.signal.throwIfAborted()
    const state = coordinator.run(run)
    if (state.state !== "done" || state.globalAdapterHash === undefined)
      throw failedRun(state, { ends: history.ends(), history: join(out, "history.jsonl") })
    return this.#result(state.globalAdapterHash)
  }

  readonly #fail = (error: unknown): void => this.setting.stop.abort(error)

  /** All clients and the conductor, until the run is over; the first failure ends them all. */
  async #takePart(all: AbortSignal): Promise<void> {
    const { clients, rounds, recipe, clock, history, workers = availableParallelism() } = this.setting
    const shape = await baseShapeOf(recipe.base, recipe.lora.targetModules)
    const conductor = new Conductor({
      ...{ clock, rounds, history, workers, signal: all, seed: recipe.seed, fail: this.#fail },
      cost: planCost(shape),
    })
    await conductor.recover()
    if (rounds.over) return conductor.letAllGo()
    const connected = new Set<string>()
    let everybody!: () => void
    const allConnected = new Promise<void>((resolve) => (everybody = resolve))
    const onConnected = (name: string) => connected.add(name).size === clients.length && everybody()
    const calibration = 1 / calibratedSpeed(shape, { tokensPerSecond: 1, context: recipe.training.context })
    const parties = clients.map((client) => this.#participate(client, { conductor, calibration, all, onConnected }))
    const first = Promise.race([
      ...parties.map((party) => party.then(() => new Promise<never>(() => undefined))),
      allConnected,
      aborted(all),
    ])
    const conducted = first.then(() => conductor.conduct())
    await Promise.all([...parties, conducted].map((part) => part.catch(this.#fail)))
    await conductor.written()
  }

  async #participate(client: VirtualClient, { conductor, calibration, all, onConnected }: Party): Promise<void> {
    const { coordinator, joinToken, run, out, pool, recipe, view, clock, history } = this.setting
    const agent = new LaminaClient({
      coordinator: coordinator.url,
      joinToken,
      name: client.name,
      data: client.data,
      base: recipe.base,
      runId: run,
      workDir: join(out, "clients", client.name),
      cacheDir: join(out, "cache"),
      ...(client.namedPrecision === undefined ? {} : { precision: client.namedPrecision }),
      rank: client.rank,
      ...limitsOf(client.device),
      machine: machineOf(client.device),
      firstConnectMs: Infinity, // a thousand clients take their time
      clock,
      trainer: virtualTrainer(client, { pool, conductor, calibration }),
    })
    agent.on("connected", () => onConnected(client.name))
    agent.on("progress", ({ round, step, steps, loss }) => {
      view.training(client.name, { step, steps, loss })
      try {
        history.add({ kind: "step", round, client: client.name, step, loss })
      } catch (error) {
        this.#fail(error)
      }
    })
    agent.on("receipt", ({ status }) => view.receipt(client.name, status))
    agent.on("round", (outcome) => conductor.outcome(client.name, outcome))
    await agent.participate({ signal: all })
  }

  async #result(adapterHash: string): Promise<SimulationResult> {
    const { coordinator, recipe, run, clients, out, history } = this.setting
    const globalAdapter = decodeAdapter(await coordinator.adapter(adapterHash))
    const adapter = join(out, "adapter")
    await writePeftAdapter(adapter, globalAdapter, { baseName: recipe.base })
    const { weights, rounds } = coordinator.run(run)
    return {
      run,
      rounds: recipe.rounds,
      clients: clients.map(({ name, rank, precision, deviceName }) => {
        const tokens = weights[name]
        return { name, rank, precision, device: deviceName, ...(tokens === undefined ? {} : { tokens }) }
      }),
      population: this.setting.population,
      scores: history.scores(),
      views: await Promise.all(rounds.map(({ round }) => coordinator.round(run, round))),
      history,
      adapterHash,
      globalAdapter,
      adapter,
    }
  }
}

/** Rejects once the signal is. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true })
    if (signal.aborted) reject(signal.reason as Error)
  })
}

/** A folder holds one simulation: another one's history would be taken for this one's. Throws RUN_STATE. */
function expectAlone(coordinator: RunningCoordinator, name: string, out: string): void {
  const other = coordinator.runs().find((run) => run.name !== name)
  if (other)
    throw new LaminaError("RUN_STATE", `${out}: expected the simulation of recipe ${name}, got that of ${other.name}`, {
      hint: "use another --out folder",
    })
}

/** Too few clients for a quorum never start a round. Throws RECIPE_INVALID. */
function expectQuorum(
  { clients: size, quorum: share, buffer }: Recipe["cohort"] & { clients: number },
  there: number,
): void {
  const needed = buffer ? buffer.size : quorumOf({ size, share })
  if (needed > there)
    throw new LaminaError(
      "RECIPE_INVALID",
      `cohort: expected at most ${there} clients to be needed for a round, as many as are simulated, got ${needed}`,
      { hint: "lower cohort.clients, cohort.quorum or cohort.buffer.size, or simulate more clients" },
    )
}

/** What a device does not move, as a client says it. */
function limitsOf({ uploadBytesMax, downloadBytesMax }: SimulatedDevice): Partial<LaminaClientOptions> {
  return {
    ...(uploadBytesMax === undefined ? {} : { uploadBytesMax }),
    ...(downloadBytesMax === undefined ? {} : { downloadBytesMax }),
  }
}

/** What a device reports of itself instead of this machine. */
function machineOf(device: SimulatedDevice): LaminaClientOptions["machine"] {
  const { memoryBytes, uploadBytesPerSecond, downloadBytesPerSecond } = device
  return { memoryBytes, freeMemoryBytes: memoryBytes, uploadBytesPerSecond, downloadBytesPerSecond, cores: 1 }
}

/** Workers for a federation on this machine: one single-threaded worker per core, small jobs side by side. */
export function simulationWorkers(): { workers: number; threads: number } {
  return { workers: availableParallelism(), threads: 1 }
}
