interface BufferPoolOptions {
  /** Up to so much may be idle beyond the most that was ever in use at once, and no more than half of that. */
  readonly slackBytes?: number
  /** So many bytes of new memory; undefined contents. */
  readonly allocate?: (bytes: number) => Float32Array
}

/**
 * Memory of kernel outputs, used again after disposal: a fresh ArrayBuffer is zeroed page by page, which costs more
 * than small kernels do, and dropped ones keep the garbage collector busy. Idle and used memory together stay within
 * the most that was ever in use at once, and a little more: a step's forward and backward pass use different sizes,
 * and a small model would otherwise drop and make buffers all the time. Sizes are rounded up to an eighth of a power of
 * two, so that batches of slightly different length share buffers.
 */
export class BufferPool {
  /** By bytes, the size given back longest ago first. */
  readonly #idle = new Map<number, Float32Array[]>()
  #idleBytes = 0
  #usedBytes = 0
  #usedBytesMax = 0
  readonly #slackBytes: number
  readonly #allocate: (bytes: number) => Float32Array

  constructor({
    slackBytes = 32 * 2 ** 20,
    allocate = (bytes) => new Float32Array(bytes / 4),
  }: BufferPoolOptions = {}) {
    this.#slackBytes = slackBytes
    this.#allocate = allocate
  }

  /** `length` floats with undefined contents. */
  take(length: number): Float32Array {
    const bytes = roundUp(length * 4)
    const list = this.#idle.get(bytes)
    let memory = list?.pop()
    this.#usedBytes += bytes
    this.#usedBytesMax = Math.max(this.#usedBytesMax, this.#usedBytes)
    if (memory) {
      this.#idleBytes -= bytes
      if (list!.length === 0) this.#idle.delete(bytes)
    } else {
      this.#trim()
      memory = this.#allocate(bytes)
    }
    return memory.subarray(0, length)
  }

  /** Takes back memory that nothing refers to any more. */
  give(values: Float32Array): void {
    const bytes = roundUp(values.byteLength)
    const list = this.#idle.get(bytes) ?? []
    list.push(new Float32Array(values.buffer as ArrayBuffer, values.byteOffset, bytes / 4))
    this.#idle.delete(bytes)
    this.#idle.set(bytes, list)
    this.#idleBytes += bytes
    this.#usedBytes -= bytes
    this.#trim()
  }

  /** Memory that was taken and will not come back: others may refer to it. */
  lose(values: Float32Array): void {
    this.#usedBytes -= roundUp(values.byteLength)
  }

  get idleBytes(): number {
    return this.#idleBytes
  }

  #trim(): void {
    const most = this.#usedBytesMax + Math.min(this.#slackBytes, this.#usedBytesMax / 2)
    for (const [bytes, memories] of this.#idle) {
      while (memories.length > 0 && this.#idleBytes + this.#usedBytes > most) {
        memories.pop()
        this.#idleBytes -= bytes
      }
      if (memories.length > 0) break
      this.#idle.delete(bytes)
    }
  }
}

function roundUp(bytes: number): number {
  const step = Math.max(256, 2 ** (Math.ceil(Math.log2(bytes + 1)) - 4))
  return Math.max(step, Math.ceil(bytes / step) * step)
}
