import { existsSync } from "node:fs"
import { join, resolve } from "node:path"

import { hash, toHex } from "@lamina/crypto"
import { encodeAdapter } from "@lamina/protocol"
import { LaminaError } from "@lamina/protocol/errors"
import { readRunRecord } from "@lamina/server"
import type { RunRecord } from "@lamina/server"
import { writePeftAdapter } from "@lamina/tuner"

import { removeClient } from "../forget/removal.js"
import type { ProvenRound, Removal } from "../forget/removal.js"
import { printJson } from "../output/json.js"
import { renderTable } from "../output/table.js"

interface ForgetOptions {
  readonly dataDir: string
  readonly run?: string
  readonly out: string
  readonly json?: boolean
}

interface NamedClient {
  readonly id: string
  readonly name: string
}

/** Names in the error of an unknown client. */
const NAMES_MAX = 20
/** Hex digits of a hash in the table; `--json` has them all. */
const SHOWN_DIGITS = 12

/**
 * `lamina forget`: a run's global adapter without one client's contributions as a PEFT folder, after a proof that the
 * kept updates are those that were aggregated. Changes nothing in the data folder.
 */
export async function forgetCommand(wanted: string, options: ForgetOptions): Promise<void> {
  const inside = join(options.dataDir, "coordinator")
  const record = await readRunRecord(existsSync(join(inside, "lamina.db")) ? inside : options.dataDir, options.run)
  const client = clientOf(record, wanted)
  const removal = await removeClient(record, client.id)
  const out = removal.adapter && resolve(options.out)
  if (removal.adapter && out) await writePeftAdapter(out, removal.adapter, { baseName: record.base })
  if (options.json) {
    const { rounds, relativeDistance, adapter } = removal
    const written = adapter && { adapter: out, adapterHash: toHex(hash(encodeAdapter(adapter))) }
    printJson({ run: record.id, client, strategy: record.strategy, rounds, relativeDistance, ...written })
  } else process.stdout.write(`${summary(record, client, removal)}${out ? `adapter  ${out}\n` : ""}`)
}

/** By id or name, among all clients of the federation: one who never contributed changes nothing. NOT_FOUND, USAGE. */
function clientOf({ id, name, clients, rounds }: RunRecord, wanted: string): NamedClient {
  const found = clients.filter((client) => client.id === wanted || client.name === wanted)
  const [client, ...more] = found
  if (client && more.length === 0) return client
  if (client)
    throw new LaminaError(
      "USAGE",
      `expected the id of one client, got a name that ${found.length} have: ${found.map((each) => each.id).join(", ")}`,
    )
  const names = [...new Set(rounds.flatMap(({ updates }) => updates.map((update) => update.clientName)))].sort()
  const shown = names.slice(0, NAMES_MAX).join(", ")
  const others = names.length > NAMES_MAX ? ` and ${names.length - NAMES_MAX} more` : ""
  throw new LaminaError(
    "NOT_FOUND",
    `expected a client of run ${id} (${name}), got "${wanted}"; its updates are of: ${shown || "nobody"}${others}`,
  )
}

function summary({ name }: RunRecord, client: NamedClient, { rounds, adapter, relativeDistance }: Removal): string {
  const head = ["round", "updates", `of ${client.name}`, "recorded", "recomputed alike", `without ${client.name}`]
  const rows = rounds.map(({ round, updates, ofClient, recordedHash, recomputedHash, withoutHash }: ProvenRound) => {
    const alike = recomputedHash === recordedHash ? "yes" : "no"
    return [round, updates, ofClient, short(recordedHash), alike, withoutHash ? short(withoutHash) : "nothing left"]
  })
  const [taken, all] = [rounds.map(({ ofClient }) => ofClient), rounds.map(({ updates }) => updates)].map((counts) =>
    counts.reduce((sum, count) => sum + count, 0),
  )
  const moved = `${renderTable(head, rows)}\n${taken} of ${all} updates of run ${name} taken out; relative distance `
  const rest = adapter ? "" : "nobody else contributed: what is left is the base, and nothing was written\n"
  return `${moved}${relativeDistance.toPrecision(4)}\n${rest}`
}

function short(hashHex: string): string {
  return hashHex.slice(0, SHOWN_DIGITS)
}
