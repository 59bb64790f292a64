import { EventEmitter } from "node:events"
import { hostname } from "node:os"
import { join } from "node:path"

import type { Identity } from "@lamina/crypto"
import { loadOrCreateIdentity } from "@lamina/crypto"
import { LaminaError, LIMITS } from "@lamina/protocol"
import type { Capability, HeldPrecision } from "@lamina/protocol"
import type { DataSource } from "@lamina/tuner"
import { dataSourceOf } from "@lamina/tuner/data-source"

import type { ResourceLimits } from "./capability.js"
import type { Clock } from "./clock.js"
import { defaultFolders } from "./config.js"
import type { ClientEvents, RoundOutcome } from "./events.js"
import { openParts } from "./open-parts.js"
import type { ParticipationResult } from "./participate.js"
import { takePart } from "./participate.js"
import type { Random } from "./timing.js"
import type { Trainer } from "./trainer.js"

/** Only `coordinator` and `data` have no default. Docs: docs/client.md. */
export interface LaminaClientOptions {
  /** http(s) URL of the coordinator; a path in it is kept (a coordinator behind a proxy). */
  readonly coordinator: string
  /**
   * Documents to train on: a `.txt`, `.jsonl`, `.csv` or `.parquet` file, or a DataSource of @lamina/tuner. They never
   * leave this machine.
   */
  readonly data: DataSource | string
  /**
   * Who this client is: an Identity, or a file that holds one and is made at first use. Default: `identity.key` in
   * `workDir`.
   */
  readonly identity?: Identity | string
  /** Default: createTunerTrainer(). A trainer given here is not closed by the client. */
  readonly trainer?: Trainer
  /** What people see; default: the host name. Lower-case letters, digits and dashes. */
  readonly name?: string
  /** Journal, spool, checkpoints and the coordinator's key. Default: `~/.lamina/<coordinator's host>-<name>`. */
  readonly workDir?: string
  /** Bases and global adapters, shared by all clients of the machine. Default: `~/.lamina/cache`. */
  readonly cacheDir?: string
  /** Folder of a base that is on this disk already; it must be the one of the run. */
  readonly base?: string
  /** Largest rank to train, 1 to 1024. Default: the recipe decides. */
  readonly rank?: number
  /** Storage of the base in memory. Default: the recipe decides. */
  readonly precision?: HeldPrecision
  /** Secret of a coordinator that does not let everybody in. */
  readonly joinToken?: string
  /** Take part in this run only. Default: whichever runs. */
  readonly runId?: string
  /** How long the first connection may take before COORDINATOR_UNREACHABLE; Infinity waits for ever. Default 30 s. */
  readonly firstConnectMs?: number
  /** An answer that takes longer counts as a lost connection. Default 40 s (coordinators answer within 30). */
  readonly requestTimeoutMs?: number
  /** Larger global adapters are refused. Default 2 GiB. */
  readonly adapterBytesMax?: number
  /** Memory this client may use, in bytes; a plan counts on no more. Default: what the machine or container has. */
  readonly memoryBytesMax?: number
  /** Largest update to send, in bytes of factors: a plan for a larger one fails its round. Default: any. */
  readonly uploadBytesMax?: number
  /** Largest global adapter to take, in bytes: a coordinator may cut it to that, a larger one fails its round. */
  readonly downloadBytesMax?: number
  /** What this machine is, where the caller knows better than the system says; for simulations. */
  readonly machine?: Partial<Capability>
  /** Time for the round's deadline; for simulations. Default: the system's. */
  readonly clock?: Clock
  /** Spreads retries; uniform in [0, 1). */
  readonly random?: Random
}

/** Options with their defaults filled in; empty text and 0 stand for "no wish", as on the wire. */
export interface ResolvedOptions {
  readonly url: URL
  readonly data: DataSource
  readonly identity: Identity
  readonly trainer: Trainer | undefined
  readonly name: string
  readonly workDir: string
  readonly cacheDir: string
  readonly base: string | undefined
  readonly rank: number
  readonly precision: "" | HeldPrecision
  readonly joinToken: string
  readonly runId: string
  readonly firstConnectMs: number
  readonly requestTimeoutMs: number
  readonly adapterBytesMax: number
  readonly limits: ResourceLimits
  readonly machine: Partial<Capability> | undefined
  readonly clock: Clock | undefined
  readonly random: Random
}

const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/

/**
 * One member of a federation on this machine. `participate` trains every round the coordinator offers until the run
 * ends; events tell what happens. The process may be killed at any time: the next one with the same work folder and
 * identity goes on where it was.
 */
export class LaminaClient {
  readonly #options: LaminaClientOptions
  readonly #emitter = new EventEmitter()
  #busy = false

  /** Throws USAGE for options that cannot be meant; touches neither disk nor network. */
  constructor(options: LaminaClientOptions) {
    coordinatorUrl(options.coordinator)
    if (options.name !== undefined && !NAME.test(options.name))
      throw new LaminaError(
        "USAGE",
        `name: expected lower-case letters, digits and dashes, got ${JSON.stringify(options.name)}`,
      )
    const { rank = 1 } = options
    if (!Number.isInteger(rank) || rank < 1 || rank > LIMITS.rankMax)
      throw new LaminaError("USAGE", `rank: expected 1 to ${LIMITS.rankMax}, got ${rank}`)
    for (const key of ["memoryBytesMax", "uploadBytesMax", "downloadBytesMax"] as const) {
      const bytes = options[key]
      if (bytes !== undefined && (!Number.isSafeInteger(bytes) || bytes < 1))
        throw new LaminaError("USAGE", `${key}: expected a whole number of bytes of at least 1, got ${bytes}`)
    }
    this.#options = options
  }

  on<K extends keyof ClientEvents>(event: K, listener: (event: ClientEvents[K]) => void): this {
    this.#emitter.on(event, listener)
    return this
  }

  once<K extends keyof ClientEvents>(event: K, listener: (event: ClientEvents[K]) => void): this {
    this.#emitter.once(event, listener)
    return this
  }

  off<K extends keyof ClientEvents>(event: K, listener: (event: ClientEvents[K]) => void): this {
    this.#emitter.off(event, listener)
    return this
  }

  /**
   * Takes part until the run ends, or `signal` aborts (an ordinary end: `reason` is `left`). Throws what no other
   * round would cure: COORDINATOR_UNREACHABLE (first connection only), SESSION_REJECTED, COORDINATOR_CHANGED,
   * SIGNATURE_INVALID, PROTOCOL_VERSION, BASE_MISMATCH, DATA_*, FILE_*, USAGE (called while it runs, work folder in
   * use).
   */
  async participate({ signal }: { signal?: AbortSignal } = {}): Promise<ParticipationResult> {
    if (this.#busy) throw new LaminaError("USAGE", "participate: expected one call at a time, got a second")
    this.#busy = true
    try {
      const result = await this.#participate(signal)
      this.#emitter.emit("ended", { reason: result.reason, runId: result.runId, state: result.state })
      return result
    } finally {
      this.#busy = false
    }
  }

  async #participate(signal: AbortSignal | undefined): Promise<ParticipationResult> {
    const rounds: RoundOutcome[] = []
    const left = (): ParticipationResult => ({ reason: "left", runId: rounds.at(-1)?.runId, rounds })
    if (signal?.aborted) return left()
    const options = await resolve(this.#options)
    const { parts, close } = await openParts(options, (name, event) => void this.#emitter.emit(name, event), signal)
    try {
      return await takePart(parts, rounds, options.runId)
    } catch (error) {
      if (signal?.aborted) return left()
      throw error
    } finally {
      await close()
    }
  }
}

async function resolve(options: LaminaClientOptions): Promise<ResolvedOptions> {
  const url = coordinatorUrl(options.coordinator)
  const folders = defaultFolders()
  const name = options.name ?? nameOf(hostname())
  const workDir = options.workDir ?? join(folders.data, `${url.host.replaceAll(/[^A-Za-z0-9.-]/g, "_")}-${name}`)
  const { identity = join(workDir, "identity.key") } = options
  return {
    url,
    name,
    workDir,
    data: dataSourceOf(options.data),
    identity: typeof identity === "string" ? await loadOrCreateIdentity(identity) : identity,
    trainer: options.trainer,
    cacheDir: options.cacheDir ?? folders.cache,
    base: options.base,
    rank: options.rank ?? 0,
    precision: options.precision ?? "",
    joinToken: options.joinToken ?? "",
    runId: options.runId ?? "",
    firstConnectMs: options.firstConnectMs ?? 30_000,
    requestTimeoutMs: options.requestTimeoutMs ?? 40_000,
    adapterBytesMax: options.adapterBytesMax ?? 2 ** 31,
    limits: {
      memoryBytesMax: options.memoryBytesMax ?? 0,
      uploadBytesMax: options.uploadBytesMax ?? 0,
      downloadBytesMax: options.downloadBytesMax ?? 0,
    },
    machine: options.machine,
    clock: options.clock,
    random: options.random ?? Math.random,
  }
}

function coordinatorUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (!url || (url.protocol !== "http:" && url.protocol !== "https:") || url.search !== "" || url.hash !== "")
    throw new LaminaError("USAGE", `coordinator: expected a URL such as http://host:7700, got ${JSON.stringify(text)}`)
  return url
}

/** A host name as a client name: what does not fit becomes a dash. */
export function nameOf(host: string): string {
  const name = host
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]+/g, "-")
    .replace(/^-+/, "")
    .slice(0, 63)
  return name === "" ? "client" : name
}
