import cliProgress from "cli-progress"
import type { SingleBar } from "cli-progress"

import type { PullView } from "../hub/pull.js"
import { counted } from "./counted.js"
import { formatBytes } from "./table.js"

/** Progress of a pull on stderr: a bar per file and one for all on a terminal, a line per file in a pipe. */
export function pullView(stream: NodeJS.WriteStream): PullView {
  return stream.isTTY ? new Bars(stream) : new Lines(stream)
}

type Files = Parameters<PullView["start"]>[0]

class Lines implements PullView {
  readonly #sizes = new Map<string, number>()

  constructor(private readonly stream: NodeJS.WritableStream) {}

  start(files: Files): void {
    for (const { path, size } of files) this.#sizes.set(path, size)
    this.stream.write(
      `${counted(files.length, "file")}, ${formatBytes(files.reduce((sum, { size }) => sum + size, 0))}\n`,
    )
  }

  progress(path: string, bytes: number): void {
    if (bytes !== this.#sizes.get(path)) return
    this.#sizes.delete(path)
    this.stream.write(`  ${path}  ${formatBytes(bytes)}\n`)
  }

  note(text: string): void {
    this.stream.write(`${text}\n`)
  }

  close(): void {}
}

class Bars implements PullView {
  readonly #stream: NodeJS.WriteStream
  readonly #bars: cliProgress.MultiBar
  readonly #byPath = new Map<string, SingleBar>()
  readonly #bytes = new Map<string, number>()
  #total: SingleBar | undefined
  #started = 0

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream
    this.#bars = new cliProgress.MultiBar(
      {
        ...{ stream, clearOnComplete: false, hideCursor: true, barsize: 24, fps: 8, emptyOnZero: true },
        format: "  {name} {bar} {done} of {size}{rate}",
      },
      cliProgress.Presets.rect,
    )
  }

  start(files: Files): void {
    const width = Math.max(5, ...files.map(({ path }) => path.length))
    const bar = (name: string, size: number): SingleBar =>
      this.#bars.create(size, 0, { name: name.padEnd(width), size: formatBytes(size), done: formatBytes(0), rate: "" })
    for (const { path, size } of files) this.#byPath.set(path, bar(path, size))
    this.#total = bar(
      "total",
      files.reduce((sum, { size }) => sum + size, 0),
    )
    this.#started = performance.now()
  }

  progress(path: string, bytes: number): void {
    this.#bytes.set(path, bytes)
    this.#byPath.get(path)?.update(bytes, { done: formatBytes(bytes) })
    const all = [...this.#bytes.values()].reduce((sum, count) => sum + count, 0)
    const seconds = (performance.now() - this.#started) / 1000
    const rate = seconds < 1 ? "" : `, ${formatBytes(Math.round(all / seconds))}/s`
    this.#total?.update(all, { done: formatBytes(all), rate })
  }

  note(text: string): void {
    if (this.#total === undefined) this.#stream.write(`${text}\n`)
    else this.#bars.log(`${text}\n`)
  }

  close(): void {
    this.#bars.stop()
  }
}
