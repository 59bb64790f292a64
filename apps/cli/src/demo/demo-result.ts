import { renderTable } from "../output/table.js"
import { perplexity } from "../simulate/held-out.js"
import type { Scores } from "../simulate/held-out.js"
import type { SimulationResult } from "../simulate/simulation.js"

/** What the three ways came to, on the same texts. */
export interface DemoOutcome {
  readonly flora: SimulationResult
  readonly fedit: SimulationResult
  readonly local: Scores
}

/** What `npm run demo -- --json` prints; perplexities throughout. */
interface DemoResult {
  readonly run: string
  readonly rounds: number
  readonly clients: readonly { name: string; rank: number; precision: string; tokens?: number }[]
  /** Over all clients' held-out text, weighed by tokens; `local`: each client's own adapter on its own text. */
  readonly heldOut: Perplexities
  /** The plain mean over clients, each on its own held-out text. */
  readonly heldOutMean: Perplexities
  readonly perClient: readonly (Perplexities & { name: string })[]
  readonly wallSeconds: number
  readonly report: string
  readonly adapter: string
}

interface Perplexities {
  readonly base: number
  readonly local: number
  readonly fedit: number
  readonly flora: number
}

export function demoResult(outcome: DemoOutcome, rest: { wallSeconds: number; report: string }): DemoResult {
  const { flora, fedit, local } = outcome
  const scores = {
    base: required(flora.scores[0]).scores,
    local,
    fedit: required(fedit.scores.at(-1)).scores,
    flora: required(flora.scores.at(-1)).scores,
  }
  const each = (value: (way: keyof Perplexities) => number): Perplexities => ({
    base: value("base"),
    local: value("local"),
    fedit: value("fedit"),
    flora: value("flora"),
  })
  const perClient = flora.clients.map(({ name }) => ({
    name,
    ...each((way) => perplexity(required(scores[way].perClient[name]))),
  }))
  return {
    run: flora.run,
    rounds: flora.rounds,
    clients: flora.clients,
    heldOut: each((way) => perplexity(scores[way].overall)),
    heldOutMean: each((way) => perClient.reduce((sum, client) => sum + client[way], 0) / perClient.length),
    perClient,
    ...rest,
    adapter: flora.adapter,
  }
}

function required<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("a demo client has no score")
  return value
}

export function printDemo(result: DemoResult): void {
  const row = (
    name: string,
    about: readonly (string | number)[],
    { base, local, fedit, flora }: Perplexities,
  ): (string | number)[] => [
    name,
    ...about,
    ...[base, local, fedit, flora].map((value) => value.toFixed(1)),
    `${(100 * (flora / base - 1)).toFixed(0)} %`,
  ]
  const rows = result.perClient.map((client, i) => {
    const { rank = 0, precision = "", tokens = "-" } = result.clients[i] ?? {}
    return row(client.name, [rank, precision, tokens], client)
  })
  rows.push(row("all clients", ["", "", ""], result.heldOut))
  const head = [
    "held-out perplexity",
    "rank",
    "base",
    "tokens",
    "base alone",
    "local only",
    "fedit",
    "flora",
    "flora/base",
  ]
  process.stdout.write(`\n${renderTable(head, rows)}\n\n`)
  process.stdout.write(`adapter  ${result.adapter} (loads in PEFT)\nreport   ${result.report}\n`)
  process.stdout.write(`${result.rounds} rounds, ${result.wallSeconds.toFixed(0)} s in all\n`)
}
