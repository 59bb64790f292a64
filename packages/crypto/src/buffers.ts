import { ownMemory } from "@lamina/protocol"
import type { Memory } from "@lamina/protocol"

/** Smaller ones are made anew: looking for them would cost more. */
const KEPT_BYTES_MIN = 64 * 1024
/** A buffer is taken for anything down to this share of it. */
const SHARE_MIN = 0.5
const ROUNDED_TO_BYTES = 4096

/**
 * Buffers that are used again. Megabytes of fresh ones per update would make the garbage collector walk the whole heap
 * every few updates. At most `bytesMax` are kept; what is given back must not be in use any more.
 */
export class Buffers {
  readonly #free: ArrayBuffer[] = []
  /** Those made here: others' memory is never taken for its own. */
  readonly #own = new WeakSet<ArrayBuffer>()
  #bytes = 0

  constructor(private readonly bytesMax: number) {}

  readonly take: Memory = (bytes) => {
    if (bytes < KEPT_BYTES_MIN) return ownMemory(bytes)
    const at = this.#free.findIndex(({ byteLength }) => byteLength >= bytes && bytes >= SHARE_MIN * byteLength)
    const [known] = at < 0 ? [] : this.#free.splice(at, 1)
    if (known) this.#bytes -= known.byteLength
    const buffer = known ?? this.#make(Math.ceil(bytes / ROUNDED_TO_BYTES) * ROUNDED_TO_BYTES)
    return new Uint8Array(buffer, 0, bytes)
  }

  /** Again, or of memory that was not taken here: a no-op. The oldest make room. */
  give({ buffer }: Uint8Array): void {
    if (!(buffer instanceof ArrayBuffer) || !this.#own.has(buffer) || this.#free.includes(buffer)) return
    if (buffer.byteLength > this.bytesMax) return
    this.#free.push(buffer)
    this.#bytes += buffer.byteLength
    while (this.#bytes > this.bytesMax) this.#bytes -= this.#free.shift()?.byteLength ?? 0
  }

  /** Keeps nothing; what is taken stays with its readers. */
  clear(): void {
    this.#free.length = 0
    this.#bytes = 0
  }

  #make(bytes: number): ArrayBuffer {
    const { buffer } = Buffer.allocUnsafeSlow(bytes)
    this.#own.add(buffer as ArrayBuffer)
    return buffer as ArrayBuffer
  }
}
