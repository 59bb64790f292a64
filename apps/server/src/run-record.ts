import { existsSync } from "node:fs"
import { join, resolve } from "node:path"

import type { StrategySettings } from "@lamina/aggregation"
import { decodeAdapter } from "@lamina/protocol"
import type { Adapter, StrategyName } from "@lamina/protocol"
import { hasErrorCode, LaminaError } from "@lamina/protocol/errors"
import { Recipe } from "@lamina/protocol/recipe"

import { openDiskBlobs } from "./blobs/disk-blobs.js"
import { checkHeaders } from "./header-chain.js"
import { lockDataDir } from "./lock.js"
import type { RoundRow, RunRow } from "./store/schema.js"
import { diskFailure } from "./store/disk-errors.js"
import type { OnDiskFailure } from "./store/disk-errors.js"
import { openSqliteStore } from "./store/sqlite-store.js"
import type { Store } from "./store/store.js"
import { strategySettings } from "./worker/strategy-settings.js"

/** One update that a round counted, as it was kept. */
export interface KeptUpdate {
  readonly clientId: string
  readonly clientName: string
  /** The round it was trained for. */
  readonly trainedRound: number
  /** p_k = weight / sum over the round. */
  readonly weight: number
  /** Content hash of its adapter. */
  readonly hash: string
}

/** One published round; updates in aggregation order, none where they were not kept. */
export interface RecordedRound {
  readonly round: number
  /** Content hash of the global adapter it published. */
  readonly adapterHash: string
  readonly updates: readonly KeptUpdate[]
}

/** What a coordinator recorded of a run: enough to aggregate it again. */
export interface RunRecord {
  readonly id: string
  readonly name: string
  /** The recipe's base. */
  readonly base: string
  readonly strategy: StrategyName
  readonly settings: StrategySettings
  /** The recipe's globalAdapter.keepUpdates. */
  readonly keepsUpdates: boolean
  /** Of the whole federation, by id. */
  readonly clients: readonly { readonly id: string; readonly name: string }[]
  /** Published rounds from the first; empty before one is. */
  readonly rounds: readonly RecordedRound[]
  /** The adapter of an update of this round. Throws BLOB_CORRUPT where its file is missing or holds other bytes. */
  readUpdate(round: number, update: KeptUpdate): Promise<Adapter>
}

/**
 * What the data folder of a stopped coordinator has of a run: `runId`, or the newest that published a round. The
 * folder is held while its tables are read, not after: kept files are never written again. Every round's header is
 * checked: its signature, and that it names the global adapter that the rounds before it published. Throws NOT_FOUND
 * (no database, no such run), RUN_STATE where a coordinator runs on the folder, FILE_UNREADABLE where the database is
 * damaged, BLOB_CORRUPT where rounds do not fit their headers.
 */
export async function readRunRecord(dataDir: string, runId?: string): Promise<RunRecord> {
  const folder = resolve(dataDir)
  const file = join(folder, "lamina.db")
  if (!existsSync(file))
    throw new LaminaError("NOT_FOUND", `expected a coordinator's data folder, got no lamina.db in ${folder}`)
  const lock = lockDataDir(folder)
  try {
    const store = await openSqliteStore(file, leaveToCaller(folder))
    try {
      return await readRun(store, folder, runId)
    } finally {
      await store.close()
    }
  } finally {
    lock.release()
  }
}

/** Nothing is written here that a failing disk could lose: whoever reads gets the error. */
function leaveToCaller(folder: string): OnDiskFailure {
  return (error) => {
    throw diskFailure(folder, error)
  }
}

async function readRun(store: Store, folder: string, runId: string | undefined): Promise<RunRecord> {
  const run = pickRun(await store.runs(), folder, runId)
  const rows = await store.rounds(run.id)
  checkHeaders((await store.federation())?.coordinator_key, rows)
  const published = rows.filter((row): row is RoundRow & { adapter_hash: string } => row.adapter_hash !== null)
  const rounds = await Promise.all(
    published.map(async ({ round, adapter_hash: adapterHash }) => {
      return { round, adapterHash, updates: await keptUpdates(store, run.id, round) }
    }),
  )
  const recipe = Recipe.parse(JSON.parse(run.recipe))
  const blobs = openDiskBlobs(join(folder, "adapters"), leaveToCaller(folder))
  return {
    ...{ id: run.id, name: run.name, base: recipe.base, strategy: recipe.strategy },
    settings: strategySettings(recipe),
    keepsUpdates: recipe.globalAdapter.keepUpdates,
    clients: (await store.clients()).map(({ id, name }) => ({ id, name })),
    rounds,
    readUpdate: async (round, { clientName, hash: name }) => {
      const bytes = await blobs.read(name).catch((cause: unknown) => {
        if (!hasErrorCode(cause)) throw cause
        throw new LaminaError("BLOB_CORRUPT", `round ${round}, update of client ${clientName}: ${cause.message}`, {
          cause,
          hint: `restore ${join(folder, "adapters", name)} from a backup`,
        })
      })
      return decodeAdapter(bytes)
    },
  }
}

function pickRun(runs: readonly RunRow[], folder: string, runId: string | undefined): RunRow {
  const run =
    runId === undefined
      ? (runs.findLast((row) => row.global_adapter_hash !== null) ?? runs.at(-1))
      : runs.find(({ id }) => id === runId)
  if (run) return run
  const ids = runs.map(({ id, name }) => `${id} (${name})`).join(", ")
  throw new LaminaError(
    "NOT_FOUND",
    runId === undefined ? `${folder} has no run yet` : `${folder} has no run ${runId}; there are: ${ids || "none"}`,
  )
}

async function keptUpdates(store: Store, runId: string, round: number): Promise<KeptUpdate[]> {
  const rows = await store.contributions(runId, round)
  return rows.map((row) => ({
    ...{ clientId: row.client_id, clientName: row.client_name },
    ...{ trainedRound: row.trained_round, weight: row.weight, hash: row.hash },
  }))
}
