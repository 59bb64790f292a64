import { randomUUID } from "node:crypto"
import { existsSync } from "node:fs"
import { basename, join, resolve } from "node:path"

import { decodeAdapter } from "@lamina/protocol"
import type { Adapter } from "@lamina/protocol"
import { LaminaError, hasErrorCode } from "@lamina/protocol/errors"
import { startCoordinator } from "@lamina/server"
import type { RunningCoordinator } from "@lamina/server"
import {
  loadBase,
  peftBaseName,
  readModelConfig,
  readPeftAdapter,
  writeGgufAdapter,
  writeMergedModel,
  writePeftAdapter,
} from "@lamina/tuner"
import type { MergedType } from "@lamina/tuner"

import { askCoordinator, callCoordinator, coordinatorUrl } from "../coordinator-http.js"
import { modelPath } from "../model-path.js"
import { counted } from "../output/counted.js"
import { printJson } from "../output/json.js"
import { readToken } from "./run.js"

interface ExportOptions {
  readonly out: string
  readonly format: "peft" | "gguf" | "merged"
  readonly base?: string
  readonly type: MergedType
  readonly run?: string
  readonly round?: number
  readonly tokenFile?: string
  readonly json?: boolean
}

/** One run as the coordinator's REST interface shows it. */
interface RunView {
  readonly id: string
  readonly name: string
  readonly state: string
  readonly base: string
  readonly rounds: readonly { readonly round: number; readonly adapterHash?: string }[]
}

/**
 * `lamina export`: the global adapter of a run, from a live coordinator or from the folder of one that is not running,
 * or the adapter of a PEFT folder, in the format asked for.
 */
export async function exportCommand(source: string, options: ExportOptions): Promise<void> {
  if (options.format !== "peft" && options.base === undefined)
    throw new LaminaError("USAGE", `--base: expected the adapter's base with --format ${options.format}, got none`)
  const found = await findAdapter(source, options)
  const out = resolve(options.out)
  await write(found, out, options)
  const { name, origin, adapter } = found
  const modules = adapter.modules.length
  if (options.json) printJson({ ...origin, modules, format: options.format, adapter: out })
  else {
    const where = "round" in origin ? `run ${name}, round ${origin.round}` : `adapter ${name}`
    process.stdout.write(`${where}: ${counted(modules, "module")} written to ${out}\n`)
  }
}

async function write({ name, baseName, adapter }: FoundAdapter, out: string, options: ExportOptions): Promise<void> {
  if (options.format === "peft" || options.base === undefined) {
    await writePeftAdapter(out, adapter, { baseName: options.base ?? baseName })
    return
  }
  const model = await modelPath(options.base)
  if (options.format === "gguf") await writeGgufAdapter(out, adapter, { config: await readModelConfig(model), name })
  else
    await writeMergedModel(await loadBase(model, { precision: "stored" }), [adapter], {
      folder: out,
      type: options.type,
    })
}

interface FoundAdapter {
  readonly name: string
  /** What it says of its base: the source adapter's word, or the recipe's. */
  readonly baseName: string
  /** For --json. */
  readonly origin: { readonly run: string; readonly round: number } | { readonly source: string }
  readonly adapter: Adapter
}

async function findAdapter(source: string, options: ExportOptions): Promise<FoundAdapter> {
  if (existsSync(join(source, "adapter_config.json")))
    return {
      ...{ name: basename(resolve(source)), baseName: await peftBaseName(source), origin: { source } },
      adapter: await readPeftAdapter(source),
    }
  const remote = /^https?:\/\//.test(source)
  const { run, round, bytes } = remote
    ? await fromUrl(coordinatorUrl(source), options)
    : await fromFolder(source, options)
  return { name: run.name, baseName: run.base, origin: { run: run.id, round }, adapter: decodeAdapter(bytes) }
}

interface Found {
  readonly run: RunView
  readonly round: number
  readonly bytes: Uint8Array
}

async function fromUrl(coordinator: URL, options: ExportOptions): Promise<Found> {
  if (options.tokenFile === undefined)
    throw new LaminaError("USAGE", "--token-file: expected the coordinator's admin.token with a URL, got none")
  const token = await readToken(options.tokenFile)
  const runs = await askCoordinator<ListedRun[]>(coordinator, "v1/runs", { token })
  const id = options.run ?? newestWithAdapter(runs)?.id
  if (id === undefined) throw new LaminaError("NOT_FOUND", `${coordinator.href} has no run yet`)
  const run = await askCoordinator<RunView>(coordinator, `v1/runs/${encodeURIComponent(id)}`, { token })
  const { round, hash } = pickRound(run, options.round)
  return { run, round, bytes: await callCoordinator(coordinator, `v1/adapters/${hash}`, { token }) }
}

/** A run's out folder (its `coordinator/` inside) or a coordinator's data folder. */
async function fromFolder(folder: string, options: ExportOptions): Promise<Found> {
  const dataDir = [join(folder, "coordinator"), folder].find((path) => existsSync(join(path, "lamina.db")))
  if (dataDir === undefined)
    throw new LaminaError(
      "NOT_FOUND",
      `expected a run's, a coordinator's or a PEFT adapter's folder, found neither database nor adapter in ${folder}`,
    )
  const coordinator = await startOn(dataDir)
  try {
    const id = options.run ?? newestWithAdapter(coordinator.runs())?.id
    if (id === undefined) throw new LaminaError("NOT_FOUND", `${folder} has no run yet`)
    const run = coordinator.run(id)
    const { round, hash } = pickRound(run, options.round)
    return { run, round, bytes: await coordinator.adapter(hash) }
  } finally {
    await coordinator.close()
  }
}

/** For nobody but this process. RUN_STATE where another coordinator runs on the folder. */
async function startOn(dataDir: string): Promise<RunningCoordinator> {
  const alone = { host: "127.0.0.1", port: 0, joinToken: randomUUID() }
  return startCoordinator({ dataDir: resolve(dataDir), logLevel: "error", ...alone }).catch((cause: unknown) => {
    if (!hasErrorCode(cause) || cause.code !== "RUN_STATE") throw cause
    const tokenFile = join(dataDir, "admin.token")
    throw new LaminaError("RUN_STATE", cause.message, {
      cause,
      hint: `ask the coordinator: lamina export http://HOST:PORT --token-file ${tokenFile} --out PATH; or stop it`,
    })
  })
}

interface ListedRun {
  readonly id: string
  readonly globalAdapterHash?: string
}

/** The newest run that has something to export, else the newest, whose error then says so. */
function newestWithAdapter(runs: readonly ListedRun[]): ListedRun | undefined {
  return runs.findLast((run) => run.globalAdapterHash !== undefined) ?? runs.at(-1)
}

function pickRound(run: RunView, wanted: number | undefined): { round: number; hash: string } {
  const published = run.rounds.flatMap(({ round, adapterHash }) => (adapterHash ? [{ round, hash: adapterHash }] : []))
  const found = wanted === undefined ? published.at(-1) : published.find(({ round }) => round === wanted)
  if (found) return found
  const have = published.length === 0 ? "none" : published.map(({ round }) => round).join(", ")
  throw new LaminaError(
    "NOT_FOUND",
    `run ${run.id} has no adapter${wanted === undefined ? " yet" : ` of round ${wanted}`}; published rounds: ${have}`,
  )
}
