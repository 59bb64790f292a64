import { htmlTable } from "./html.js"
import { closedRounds, lastScored } from "./run-table.js"
import type { ReportedClient, ReportedRun } from "./simulation-report.js"
import { quantile } from "./statistics.js"

/** More clients are summed up by kind of machine. */
const ROWS_MAX = 40

/** The clients of a run, one a row; of many, one row for each device and rank. */
export function clientTable(run: ReportedRun): string {
  return run.clients.length <= ROWS_MAX ? eachClient(run) : eachMachine(run)
}

function eachClient(run: ReportedRun): string {
  const last = lastScored(run)?.heldOut?.perClient ?? {}
  const rows = run.clients.map(({ name, device, rank, precision, rows: count, tokens }) => {
    const [before, after] = [run.base?.perClient[name], last[name]]
    const losses = [before, after].map((score) => score?.loss.toFixed(3) ?? "-")
    return [name, device, rank, precision, count ?? "-", tokens ?? "-", acceptedOf(run, [name]), ...losses]
  })
  return htmlTable(
    ["client", "device", "rank", "base", "rows", "tokens", "updates", "loss of the base", "loss at the end"],
    rows,
  )
}

function eachMachine(run: ReportedRun): string {
  const kinds = new Map<string, ReportedClient[]>()
  for (const client of run.clients) {
    const kind = `${client.device}\n${client.rank}\n${client.precision}`
    kinds.set(kind, [...(kinds.get(kind) ?? []), client])
  }
  const last = lastScored(run)?.heldOut?.perClient ?? {}
  const rows = [...kinds.values()].map((clients) => {
    const { device, rank, precision } = clients[0] as ReportedClient
    const names = clients.map(({ name }) => name)
    const losses = names.flatMap((name) => last[name]?.loss ?? [])
    const known = clients.flatMap((client) => client.tokens ?? [])
    const tokens = known.length === 0 ? "-" : Math.round(quantile(known, 0.5))
    const loss = losses.length === 0 ? "-" : quantile(losses, 0.5).toFixed(3)
    return [device, rank, precision, clients.length, tokens, acceptedOf(run, names), loss]
  })
  return htmlTable(
    ["device", "rank", "base", "clients", "tokens (median)", "updates", "loss at the end (median)"],
    rows,
  )
}

/** Updates of these clients that counted, all rounds. */
function acceptedOf({ rounds }: ReportedRun, names: readonly string[]): number {
  const wanted = new Set(names)
  const accepted = closedRounds(rounds).flatMap(({ clients }) =>
    clients.filter(({ outcome }) => outcome === "accepted"),
  )
  return accepted.filter(({ name }) => wanted.has(name)).length
}
