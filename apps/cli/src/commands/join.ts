import { hostname } from "node:os"

import { LaminaClient, createTunerTrainer } from "@lamina/client"
import type { HeldPrecision } from "@lamina/protocol"

import { dataOfFiles } from "../data-options.js"
import type { DataOptions } from "../data-options.js"
import { untilInterrupted } from "../interrupt.js"
import { modelPath } from "../model-path.js"
import { counted } from "../output/counted.js"
import { printJson } from "../output/json.js"
import { showParticipation } from "../output/participation.js"
import { federationView } from "../output/progress.js"
import { openPool } from "../pool.js"
import type { BackendChoice } from "../pool.js"

interface JoinOptions extends DataOptions {
  readonly data: string[]
  readonly name?: string
  readonly base?: string
  readonly workDir?: string
  readonly rank?: number
  readonly precision?: HeldPrecision
  /** Bytes, as are the next two. */
  readonly memory?: number
  readonly uploadMax?: number
  readonly downloadMax?: number
  readonly threads?: number
  readonly compute: "f32" | "bf16" | "int8"
  readonly joinToken?: string
  readonly backend: BackendChoice
  readonly json?: boolean
}

/**
 * `lamina join`: trains every round the coordinator offers, until the run ends or Ctrl-C. Run it again and it goes
 * on. A run that failed or was cancelled makes the exit status 1.
 */
export async function join(url: string, options: JoinOptions): Promise<void> {
  const { workDir, rank, precision, joinToken } = options
  const base = options.base === undefined ? undefined : await modelPath(options.base)
  const name = options.name ?? clientName(hostname())
  const data = dataOfFiles(options.data, options)
  const pool = await openPool({ backend: options.backend, ...(options.threads ? { threads: options.threads } : {}) })
  const trainer = createTunerTrainer({ pool, compute: options.compute })
  const limits = {
    memoryBytesMax: options.memory,
    uploadBytesMax: options.uploadMax,
    downloadBytesMax: options.downloadMax,
  }
  const given = { base, workDir, rank, precision, joinToken, ...limits }
  const client = new LaminaClient({
    coordinator: url,
    name,
    data,
    trainer,
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
  })
  const view = federationView(process.stderr)
  showParticipation(client, view, name)
  view.note(`kernels ${pool.kernels}`)
  try {
    const result = await untilInterrupted((signal) => client.participate({ signal }))
    if (options.json) printJson(result)
    else process.stdout.write(summary(result))
    if (result.state === "failed" || result.state === "cancelled") process.exitCode = 1
  } finally {
    view.close()
    await pool.close()
  }
}

function summary({ reason, runId, state, rounds }: Awaited<ReturnType<LaminaClient["participate"]>>): string {
  const accepted = rounds.filter(({ outcome }) => outcome === "accepted" || outcome === "duplicate").length
  if (reason === "left") return `left after ${counted(accepted, "round")}; the same command goes on\n`
  return `run ${runId ?? ""} ended: ${state ?? "done"}; ${accepted} of this client's updates were accepted\n`
}

/** A machine's name as a client name: lower-case letters, digits and dashes. */
function clientName(host: string): string {
  const name = host
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, "-")
    .replace(/^-+/, "")
    .slice(0, 63)
  return name === "" ? "client" : name
}
