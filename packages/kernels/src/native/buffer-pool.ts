/**
 * Memory of kernel outputs, used again after disposal: a fresh ArrayBuffer is zeroed page by page, which costs more
 * than small kernels do, and dropped ones keep the garbage collector busy. Idle and used memory together stay within
 * the most that was ever in use at once, and a little more: a step's forward and backward pass use different sizes,
 * and a small model would otherwise drop and make buffers all the time. Sizes are rounded up to an eighth of a power
 * of two, so that batches of slightly different length share buffers.
 */
export class BufferPool {
  readonly #slackBytes: number

  /** By size, the size given back longest ago first. */
  readonly #idle = new Map<number, ArrayBuffer[]>()
  #idleBytes = 0
  #usedBytes = 0
  #usedBytesMax = 0

  constructor(slackBytes = 32 * 2 ** 20) {
    this.#slackBytes = slackBytes
  }

  /** `length` floats with undefined contents. */
  take(length: number): Float32Array {
    const bytes = roundUp(length * 4)
    const list = this.#idle.get(bytes)
    const buffer = list?.pop()
    this.#usedBytes += bytes
    this.#usedBytesMax = Math.max(this.#usedBytesMax, this.#usedBytes)
    if (buffer) {
      this.#idleBytes -= bytes
      if (list!.length === 0) this.#idle.delete(bytes)
      return new Float32Array(buffer, 0, length)
    }
    this.#trim()
    return new Float32Array(new ArrayBuffer(bytes), 0, length)
  }

  /** Takes back memory that nothing refers to any more. */
  give(values: Float32Array): void {
    const buffer = values.buffer as ArrayBuffer
    const list = this.#idle.get(buffer.byteLength) ?? []
    list.push(buffer)
    this.#idle.delete(buffer.byteLength)
    this.#idle.set(buffer.byteLength, list)
    this.#idleBytes += buffer.byteLength
    this.#usedBytes -= buffer.byteLength
    this.#trim()
  }

  /** Memory that was taken and will not come back: others may refer to it. */
  lose(values: Float32Array): void {
    this.#usedBytes -= values.buffer.byteLength
  }

  get idleBytes(): number {
    return this.#idleBytes
  }

  #trim(): void {
    for (const [bytes, buffers] of this.#idle) {
      while (buffers.length > 0 && this.#idleBytes + this.#usedBytes > this.#usedBytesMax + this.#slackBytes) {
        buffers.pop()
        this.#idleBytes -= bytes
      }
      if (buffers.length > 0) break
      this.#idle.delete(bytes)
    }
  }
}

function roundUp(bytes: number): number {
  const step = Math.max(256, 2 ** (Math.ceil(Math.log2(bytes + 1)) - 4))
  return Math.max(step, Math.ceil(bytes / step) * step)
}
