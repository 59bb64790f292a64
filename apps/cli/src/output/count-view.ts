import cliProgress from "cli-progress"
import type { JobCount } from "@lamina/tuner"

/** How far one job is, on stderr: a bar on a terminal, a line per tenth in a pipe. */
interface CountView {
  update(count: JobCount): void
  close(): void
}

/** `unit`: what is counted, in the plural. */
export function countView(unit: string, stream: NodeJS.WriteStream): CountView {
  return stream.isTTY ? bar(unit, stream) : lines(unit, stream)
}

function bar(unit: string, stream: NodeJS.WriteStream): CountView {
  const format = `  {bar} {value}/{total} ${unit}  {eta_formatted} left`
  const single = new cliProgress.SingleBar(
    { stream, format, clearOnComplete: true, hideCursor: true, barsize: 24, fps: 8, etaBuffer: 50 },
    cliProgress.Presets.rect,
  )
  let started = false
  return {
    update: ({ done, total }) => {
      if (!started) single.start(total, 0)
      started = true
      single.update(done)
    },
    close: () => single.stop(),
  }
}

function lines(unit: string, stream: NodeJS.WritableStream): CountView {
  let tenths = 0
  return {
    update: ({ done, total }) => {
      const reached = Math.floor((10 * done) / total)
      if (reached > tenths) stream.write(`${done}/${total} ${unit}\n`)
      tenths = Math.max(tenths, reached)
    },
    close: () => undefined,
  }
}
