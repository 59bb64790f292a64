import { LaminaError } from "@lamina/protocol/errors"
import type { RunningCoordinator } from "@lamina/server"

import { counted } from "../output/counted.js"
import type { ClientOutcome, ClientRow } from "./journal.js"

type Standing = ReturnType<RunningCoordinator["run"]>

/** Letters of a reason that an error repeats; history.jsonl has all of them. */
const REASON_LETTERS = 200

/** RUN_STATE of a run that did not come to its end: how the clients of its last round ended, and where all of it is. */
export function failedRun(
  { id, state, reason, rounds }: Pick<Standing, "id" | "state" | "reason"> & { readonly rounds: { length: number } },
  { ends, history }: { readonly ends: readonly ClientRow[]; readonly history: string },
): LaminaError {
  const why = reason === undefined ? "" : ` (${reason})`
  const last = Math.max(0, ...ends.map(({ round }) => round))
  const clients =
    last === 0 ? "" : `; clients of round ${last}: ${outcomesOf(ends.filter(({ round }) => round === last))}`
  return new LaminaError(
    "RUN_STATE",
    `run ${id} ended as "${state}"${why} after ${counted(rounds.length, "round")}${clients}`,
    { hint: `${history} has how every client of every round ended` },
  )
}

/** The most frequent first: `4 out-of-memory, 2 failed: CODE: the first one's reason`. */
function outcomesOf(ends: readonly ClientRow[]): string {
  const groups = new Map<ClientOutcome, ClientRow[]>()
  for (const end of ends) groups.set(end.outcome, [...(groups.get(end.outcome) ?? []), end])
  return [...groups]
    .sort(([, less], [, more]) => more.length - less.length)
    .map(([outcome, rows]) => [`${rows.length} ${outcome}`, ...causeOf(rows)].join(": "))
    .join(", ")
}

function causeOf(rows: readonly ClientRow[]): string[] {
  const { code, reason } = rows.find((row) => row.code !== undefined) ?? {}
  return [code ?? [], reason === undefined ? [] : shortened(reason)].flat()
}

function shortened(reason: string): string {
  return reason.length <= REASON_LETTERS ? reason : `${reason.slice(0, REASON_LETTERS)}...`
}
