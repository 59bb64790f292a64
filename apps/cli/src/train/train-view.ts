import cliProgress from "cli-progress"
import type { TrainingProgress } from "@lamina/tuner"

import type { HeldOutRow } from "./train-history.js"

/** Live progress of a training on stderr: a bar on a terminal, a line now and then in a pipe. */
export interface TrainView {
  step(progress: TrainingProgress): void
  heldOut(score: HeldOutRow): void
  note(text: string): void
  close(): void
}

export function trainView(stream: NodeJS.WriteStream): TrainView {
  return stream.isTTY ? new Bar(stream) : new Lines(stream)
}

/** Lines a pipe gets over the whole training. */
const LINES = 20

class Lines implements TrainView {
  readonly #clock = new Clock()

  constructor(private readonly stream: NodeJS.WritableStream) {}

  step(progress: TrainingProgress): void {
    this.#clock.tick(progress)
    const { step, steps, loss, tokensPerSecond } = progress
    if (step !== 1 && step !== steps && step % Math.ceil(steps / LINES) !== 0) return
    const figures = `loss ${loss.toFixed(4)}  ${Math.round(tokensPerSecond)} tokens/s  ${this.#clock.left()} left`
    this.note(`step ${step}/${steps}  ${figures}`)
  }

  heldOut(score: HeldOutRow): void {
    this.note(heldOutLine(score))
  }

  note(text: string): void {
    this.stream.write(`${text}\n`)
  }

  close(): void {}
}

class Bar implements TrainView {
  readonly #stream: NodeJS.WriteStream
  readonly #bars: cliProgress.MultiBar
  readonly #clock = new Clock()
  #bar: cliProgress.SingleBar | undefined

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream
    const format = "  {bar} {value}/{total}  loss {loss}  {rate} tokens/s  {left} left"
    this.#bars = new cliProgress.MultiBar(
      { stream, format, clearOnComplete: false, hideCursor: true, barsize: 24, fps: 4 },
      cliProgress.Presets.rect,
    )
  }

  step(progress: TrainingProgress): void {
    this.#clock.tick(progress)
    const { step, steps, loss, tokensPerSecond } = progress
    const state = { loss: loss.toFixed(4), rate: Math.round(tokensPerSecond), left: this.#clock.left() }
    this.#bar ??= this.#bars.create(steps, step, state)
    this.#bar.update(step, state)
  }

  heldOut(score: HeldOutRow): void {
    this.note(heldOutLine(score))
  }

  note(text: string): void {
    // without a bar, what is logged would wait for the first one
    if (this.#bar === undefined) this.#stream.write(`${text}\n`)
    else this.#bars.log(`${text}\n`)
  }

  close(): void {
    this.#bars.stop()
  }
}

function heldOutLine({ step, loss, perplexity }: HeldOutRow): string {
  const when = step === 0 ? "before training" : `after step ${step}`
  return `held-out loss ${loss.toFixed(4)}  perplexity ${perplexity.toFixed(2)}  ${when}`
}

/** What the steps of this process took, scores between them included. */
class Clock {
  #first: { readonly step: number; readonly at: number } | undefined
  #secondsLeft: number | undefined

  tick({ step, steps }: TrainingProgress): void {
    const now = performance.now()
    this.#first ??= { step, at: now }
    const done = step - this.#first.step
    this.#secondsLeft = done === 0 ? undefined : ((steps - step) * (now - this.#first.at)) / done / 1000
  }

  left(): string {
    return this.#secondsLeft === undefined ? "-:--" : clockTime(this.#secondsLeft)
  }
}

/** 75 -> "1:15", 3675 -> "1:01:15". */
export function clockTime(seconds: number): string {
  const whole = Math.round(seconds)
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  const [hours = 0, ...rest] = parts
  const shown = hours > 0 ? parts : rest
  return shown.map((part, index) => (index === 0 ? String(part) : String(part).padStart(2, "0"))).join(":")
}
