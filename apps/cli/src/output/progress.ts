import cliProgress from "cli-progress"
import type { SingleBar } from "cli-progress"

import { counted } from "./counted.js"

/** Live progress of a federation on stderr: one bar per client on a terminal, one line per event in a pipe. */
export interface FederationView {
  /** Fresh bars for these clients. */
  start(clients: readonly string[]): void
  roundOpened(round: { round: number; rounds: number; clients: readonly string[] }): void
  training(client: string, progress: { step: number; steps: number; loss: number }): void
  receipt(client: string, status: string): void
  roundPublished(round: { round: number; summary: string }): void
  roundAbandoned(round: { round: number; reason: string }): void
  note(text: string): void
  close(): void
}

export function federationView(stream: NodeJS.WriteStream): FederationView {
  return stream.isTTY ? new Bars(stream) : new Lines(stream)
}

class Lines implements FederationView {
  constructor(private readonly stream: NodeJS.WritableStream) {}

  start(): void {}

  roundOpened({ round, rounds, clients }: { round: number; rounds: number; clients: readonly string[] }): void {
    this.stream.write(`round ${round}/${rounds}: ${counted(clients.length, "client")}\n`)
  }

  training(client: string, { step, steps, loss }: { step: number; steps: number; loss: number }): void {
    if (step === steps) this.stream.write(`  ${client}: trained ${counted(steps, "step")}, loss ${loss.toFixed(3)}\n`)
  }

  receipt(client: string, status: string): void {
    this.stream.write(`  ${client}: update ${status.toLowerCase()}\n`)
  }

  roundPublished({ round, summary }: { round: number; summary: string }): void {
    this.stream.write(`round ${round} published${summary === "" ? "" : `: ${summary}`}\n`)
  }

  roundAbandoned({ round, reason }: { round: number; reason: string }): void {
    this.stream.write(`round ${round} abandoned: ${reason}\n`)
  }

  note(text: string): void {
    this.stream.write(`${text}\n`)
  }

  close(): void {}
}

class Bars implements FederationView {
  readonly #stream: NodeJS.WriteStream
  readonly #bars: cliProgress.MultiBar
  readonly #byClient = new Map<string, SingleBar>()

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream
    const format = "  {client} {bar} {step}/{steps}  loss {loss}  {status}"
    this.#bars = new cliProgress.MultiBar(
      { stream, format, clearOnComplete: false, hideCursor: true, barsize: 24, fps: 8, emptyOnZero: true },
      cliProgress.Presets.rect,
    )
  }

  roundOpened({ round, rounds, clients }: { round: number; rounds: number; clients: readonly string[] }): void {
    this.note(`round ${round}/${rounds}: ${counted(clients.length, "client")}`)
    this.start(clients)
  }

  start(clients: readonly string[]): void {
    const width = Math.max(...clients.map((client) => client.length))
    for (const client of clients) {
      const state = { client: client.padEnd(width), step: 0, steps: "-", loss: "-", status: "waiting" }
      const bar = this.#byClient.get(client)
      if (bar) bar.update(0, state)
      else this.#byClient.set(client, this.#bars.create(1, 0, state))
    }
  }

  training(client: string, { step, steps, loss }: { step: number; steps: number; loss: number }): void {
    this.#byClient.get(client)?.update(step / steps, { step, steps, loss: loss.toFixed(3), status: "training" })
  }

  receipt(client: string, status: string): void {
    this.#byClient.get(client)?.update({ status: status.toLowerCase() })
  }

  roundPublished({ round, summary }: { round: number; summary: string }): void {
    this.note(`round ${round} published${summary === "" ? "" : `: ${summary}`}`)
  }

  roundAbandoned({ round, reason }: { round: number; reason: string }): void {
    this.note(`round ${round} abandoned: ${reason}`)
  }

  note(text: string): void {
    // without a bar, what is logged would wait for the first one
    if (this.#byClient.size === 0) this.#stream.write(`${text}\n`)
    else this.#bars.log(`${text}\n`)
  }

  close(): void {
    this.#bars.stop()
  }
}
