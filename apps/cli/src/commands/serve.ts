import { once } from "node:events"
import { hostname } from "node:os"
import { resolve } from "node:path"

import { startCoordinator } from "@lamina/server"
import type { CoordinatorOptions, RunningCoordinator } from "@lamina/server"

import { ensureRun } from "../ensure-run.js"
import { untilInterrupted } from "../interrupt.js"
import { printJson } from "../output/json.js"
import { loadRecipe, ofRecipe } from "../recipe-file.js"

interface ServeOptions {
  readonly port: number
  readonly host: string
  readonly dataDir: string
  readonly recipe?: string
  readonly joinToken?: string
  readonly logLevel: LogLevel
  readonly json?: boolean
}

type LogLevel = NonNullable<CoordinatorOptions["logLevel"]>

/** `lamina serve`: until Ctrl-C or SIGTERM. With --json the first line of stdout says where it listens. */
export async function serve(options: ServeOptions): Promise<void> {
  const dataDir = resolve(options.dataDir)
  const { host, port, logLevel, joinToken } = options
  const recipe = options.recipe === undefined ? undefined : (await loadRecipe(options.recipe)).recipe
  const coordinator = await startCoordinator({ dataDir, host, port, logLevel, joinToken })
  try {
    const run = recipe && (await ofRecipe(options.recipe ?? "", () => ensureRun(coordinator, dataDir, recipe)))
    if (run?.existed) process.stderr.write(`run ${run.id} was here already: ${run.state}\n`)
    announce(coordinator, { dataDir, run: run?.id, withToken: joinToken !== undefined, json: options.json })
    await untilInterrupted(async (signal) => {
      if (!signal.aborted) await once(signal, "abort")
    })
  } finally {
    await coordinator.close()
  }
}

function announce(
  { url, federationId }: RunningCoordinator,
  about: { dataDir: string; run: string | undefined; withToken: boolean; json: boolean | undefined },
): void {
  const { dataDir, run, withToken, json } = about
  if (json) return printJson({ url, federation: federationId, dataDir, ...(run === undefined ? {} : { run }) })
  const here = reachable(url, "localhost")
  const token = withToken ? " --join-token TOKEN" : ""
  const lines = [
    `coordinator  ${url}`,
    `data         ${dataDir}`,
    run === undefined
      ? `start a run  lamina run RECIPE --coordinator ${here} --token-file ${dataDir}/admin.token`
      : `run          ${run}`,
    `join         lamina join ${reachable(url, hostname())} --data FILE${token}`,
  ]
  process.stdout.write(`${lines.join("\n")}\n`)
}

/** An address that stands for all of a machine's is none to connect to: `host` in its place. */
function reachable(url: string, host: string): string {
  const address = new URL(url)
  if (address.hostname !== "0.0.0.0" && address.hostname !== "[::]") return url
  address.hostname = host
  return address.origin
}
