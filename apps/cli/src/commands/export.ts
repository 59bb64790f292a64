import { existsSync } from "node:fs"
import { join, resolve } from "node:path"

import { decodeAdapter } from "@lamina/protocol"
import { LaminaError } from "@lamina/protocol/errors"
import { startCoordinator } from "@lamina/server"
import { writePeftAdapter } from "@lamina/tuner"

import { callCoordinator } from "../coordinator-http.js"
import { printJson } from "../output/json.js"
import { readToken } from "./run.js"

interface ExportOptions {
  readonly out: string
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
  readonly rounds: readonly { readonly round: number; readonly adapterHash?: string }[]
}

/**
 * `lamina export`: the global adapter of a run, from a live coordinator or from the folder of one that is not
 * running.
 */
export async function exportCommand(source: string, options: ExportOptions): Promise<void> {
  const remote = /^https?:\/\//.test(source)
  const { run, round, bytes } = remote ? await fromUrl(new URL(source), options) : await fromFolder(source, options)
  const adapter = decodeAdapter(bytes)
  const out = resolve(options.out)
  await writePeftAdapter(out, adapter, { baseName: run.name })
  const modules = adapter.modules.length
  if (options.json) printJson({ run: run.id, round, modules, adapter: out })
  else process.stdout.write(`run ${run.name}, round ${round}: ${modules} modules written to ${out}\n`)
}

interface Found {
  readonly run: RunView
  readonly round: number
  readonly bytes: Uint8Array
}

async function fromUrl(origin: URL, options: ExportOptions): Promise<Found> {
  if (options.tokenFile === undefined)
    throw new LaminaError("USAGE", "--token-file: expected the coordinator's admin.token with a URL, got none")
  const token = await readToken(options.tokenFile)
  const runs = (await (await callCoordinator(new URL("/v1/runs", origin), { token })).json()) as ListedRun[]
  const id = options.run ?? newestWithAdapter(runs)?.id
  if (id === undefined) throw new LaminaError("NOT_FOUND", `${origin.origin} has no run yet`)
  const run = (await (
    await callCoordinator(new URL(`/v1/runs/${encodeURIComponent(id)}`, origin), { token })
  ).json()) as RunView
  const { round, hash } = pickRound(run, options.round)
  const response = await callCoordinator(new URL(`/v1/adapters/${hash}`, origin), { token })
  return { run, round, bytes: new Uint8Array(await response.arrayBuffer()) }
}

/** A run's out folder (its `coordinator/` inside) or a coordinator's data folder. */
async function fromFolder(folder: string, options: ExportOptions): Promise<Found> {
  const dataDir = [join(folder, "coordinator"), folder].find((path) => existsSync(join(path, "lamina.db")))
  if (dataDir === undefined)
    throw new LaminaError(
      "NOT_FOUND",
      `expected a run's folder or a coordinator's data folder, found no database in ${folder}`,
    )
  const coordinator = await startCoordinator({ dataDir: resolve(dataDir), port: 0, logLevel: "error" })
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
