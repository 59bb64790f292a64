import { readIfThere, writeDurable } from "./durable.js"

/** Bytes per second of real transfers with the coordinator; 0 before the first. */
export interface TransferRates {
  readonly uploadBytesPerSecond: number
  readonly downloadBytesPerSecond: number
}

type Direction = "upload" | "download"

/** A transfer below this measures how long an answer takes, not how fast bytes come. */
const BYTES_MIN = 64 * 1024
/** How much of what was measured before a burst still counts after it: half the weight is on the newest. */
const KEPT = 0.5

/** Weighed sums over the bursts so far; their quotient is the rate. */
interface Sums {
  readonly bytes: number
  readonly ms: number
}

/**
 * How fast transfers are: bytes over the time in which at least one was under way, so that several side by side count
 * once. `now` in milliseconds from any origin.
 */
export class TransferMeter {
  readonly #now: () => number
  readonly #sums: Record<Direction, Sums>
  readonly #bursts = { upload: newBurst(), download: newBurst() }
  #changed = false

  constructor(now: () => number, sums: Record<Direction, Sums> = { upload: NOTHING, download: NOTHING }) {
    this.#now = now
    this.#sums = { ...sums }
  }

  /**
   * With the figures that `save` left at `path`; a file that holds none counts as none: they are measured again.
   * FILE_UNREADABLE.
   */
  static async open(path: string, now: () => number): Promise<TransferMeter> {
    const bytes = await readIfThere(path)
    return new TransferMeter(now, bytes && parseSums(new TextDecoder().decode(bytes)))
  }

  /** Keeps the figures, where there are new ones. STORAGE_FULL, FILE_UNWRITABLE. */
  async save(path: string): Promise<void> {
    if (this.#changed) await writeDurable(path, new TextEncoder().encode(`${JSON.stringify(this.#sums)}\n`))
  }

  /** A transfer begins; the result ends it and says how many bytes came over, 0 for one that failed. */
  begin(direction: Direction): (bytes: number) => void {
    const burst = this.#bursts[direction]
    if (burst.active++ === 0) burst.sinceMs = this.#now()
    return (bytes) => {
      burst.bytes += bytes
      if (--burst.active > 0) return
      const ms = this.#now() - burst.sinceMs
      if (burst.bytes >= BYTES_MIN && ms > 0) {
        const before = this.#sums[direction]
        this.#changed = true
        this.#sums[direction] = { bytes: KEPT * before.bytes + burst.bytes, ms: KEPT * before.ms + ms }
      }
      burst.bytes = 0
    }
  }

  rates(): TransferRates {
    const rate = ({ bytes, ms }: Sums): number => (ms > 0 ? (1_000 * bytes) / ms : 0)
    return { uploadBytesPerSecond: rate(this.#sums.upload), downloadBytesPerSecond: rate(this.#sums.download) }
  }
}

const NOTHING: Sums = { bytes: 0, ms: 0 }

function newBurst(): { active: number; sinceMs: number; bytes: number } {
  return { active: 0, sinceMs: 0, bytes: 0 }
}

function parseSums(text: string): Record<Direction, Sums> | undefined {
  try {
    const { upload, download } = JSON.parse(text) as Partial<Record<Direction, unknown>>
    return isSums(upload) && isSums(download) ? { upload, download } : undefined
  } catch {
    return undefined
  }
}

function isSums(value: unknown): value is Sums {
  if (typeof value !== "object" || value === null || !("bytes" in value) || !("ms" in value)) return false
  return [value.bytes, value.ms].every((number) => typeof number === "number" && number >= 0 && number < Infinity)
}
