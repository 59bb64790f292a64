/**
 * Bytes of idle buffers kept for the next step; beyond it the sizes unused for longest are left to the garbage
 * collector.
 */
const IDLE_BYTES_MAX = 512 * 2 ** 20

/**
 * Memory of kernel outputs, used again after disposal: a fresh ArrayBuffer is zeroed page by page, which costs more
 * than small kernels do. Sizes are rounded up to an eighth of a power of two, so that batches of slightly different
 * length share buffers.
 */
export class BufferPool {
  readonly #idle = new Map<number, ArrayBuffer[]>()
  #idleBytes = 0

  /** `length` floats with undefined contents. */
  take(length: number): Float32Array {
    const bytes = roundUp(length * 4)
    const list = this.#idle.get(bytes)
    const buffer = list?.pop()
    if (!buffer) return new Float32Array(new ArrayBuffer(bytes), 0, length)
    this.#idleBytes -= bytes
    if (list!.length === 0) this.#idle.delete(bytes)
    return new Float32Array(buffer, 0, length)
  }

  /** Takes back memory that nothing refers to any more. */
  give(values: Float32Array): void {
    const buffer = values.buffer as ArrayBuffer
    const list = this.#idle.get(buffer.byteLength) ?? []
    list.push(buffer)
    this.#idle.delete(buffer.byteLength)
    this.#idle.set(buffer.byteLength, list)
    this.#idleBytes += buffer.byteLength
    for (const [bytes, buffers] of this.#idle) {
      if (this.#idleBytes <= IDLE_BYTES_MAX) break
      this.#idleBytes -= bytes * buffers.length
      this.#idle.delete(bytes)
    }
  }

  get idleBytes(): number {
    return this.#idleBytes
  }
}

function roundUp(bytes: number): number {
  const step = Math.max(256, 2 ** (Math.ceil(Math.log2(bytes + 1)) - 4))
  return Math.max(step, Math.ceil(bytes / step) * step)
}
