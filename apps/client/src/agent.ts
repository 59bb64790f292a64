import type { LaminaClientOptions } from "./client.js"
import { LaminaClient } from "./client.js"
import type { ParticipationResult } from "./participate.js"

export interface AgentOptions extends LaminaClientOptions {
  /** Gets one line of plain text per thing worth knowing. */
  readonly say: (line: string) => void
  readonly signal?: AbortSignal
}

/** Progress is said this often; everything else at once. */
const PROGRESS_MS = 5_000

/**
 * A client that tells in sentences what it does, until the run ends or `signal` aborts: the whole of a small agent
 * program.
 */
export async function runAgent({ say, signal, ...options }: AgentOptions): Promise<ParticipationResult> {
  const client = new LaminaClient(options)
  narrate(client, say)
  return client.participate({ signal })
}

function narrate(client: LaminaClient, say: (line: string) => void): void {
  let saidMs = -Infinity
  client.on("connected", ({ coordinator, clientId }) => say(`connected to ${coordinator} as ${clientId}`))
  client.on("reconnecting", ({ cause, inMs }) => say(`no connection (${cause}), again in ${seconds(inMs)}`))
  client.on("waiting", ({ reason }) => say(`waiting: ${reason}`))
  client.on("task", ({ round, steps, modules }) => say(`round ${round}: ${steps} steps on ${modules} modules`))
  client.on("progress", ({ round, step, steps, loss, tokensPerSecond }) => {
    if (step < steps && performance.now() - saidMs < PROGRESS_MS) return
    saidMs = performance.now()
    say(`round ${round}: step ${step}/${steps}, loss ${loss.toFixed(3)}, ${Math.round(tokensPerSecond)} tokens/s`)
  })
  client.on("sealed", ({ round, bytes }) => say(`round ${round}: update sealed, ${(bytes / 2 ** 20).toFixed(1)} MiB`))
  client.on("retrying", ({ what, error, inMs }) => say(`${what}: ${error.message}; again in ${seconds(inMs)}`))
  client.on("round", ({ round, outcome, code, reason }) =>
    say(`round ${round}: ${outcome}${code ? ` (${code}${reason ? `: ${reason}` : ""})` : ""}`),
  )
  client.on("ended", ({ reason, state }) => say(reason === "left" ? "left" : `the run ended: ${state ?? "done"}`))
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`
}
