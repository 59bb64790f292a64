import { MathBackendCPU } from "@tensorflow/tfjs-backend-cpu"
import * as tf from "@tensorflow/tfjs-core"

import { KernelError } from "../errors.js"
import { BufferPool } from "./buffer-pool.js"
import { allocateFloats } from "./huge-pages.js"

type DataId = object
type Entry = ReturnType<MathBackendCPU["data"]["get"]>

/**
 * Counts whoever reads tensor memory past our own kernels: the copied cpu kernels may keep views of it (slices do),
 * and callers of dataSync own what they get. Such memory is never used again.
 */
class WatchedStorage extends tf.DataStorage<Entry> {
  constructor(
    backend: NativeBackend,
    readonly onRead: (dataId: DataId) => void,
  ) {
    super(backend, tf.engine())
  }

  override get(dataId: DataId): Entry {
    this.onRead(dataId)
    return super.get(dataId)
  }

  /** For code that keeps no reference to the values. */
  peek(dataId: DataId): Entry {
    return super.get(dataId)
  }
}

/**
 * tfjs backend `native`: the C++ kernels, and the cpu backend's JavaScript for everything else. Tensors are
 * Float32Arrays in ordinary memory, which the addon reads and writes in place. Outputs of native kernels come from a
 * pool and return to it when their last reference is disposed and no one else has seen the memory.
 */
export class NativeBackend extends MathBackendCPU {
  readonly #pool = new BufferPool({ allocate: allocateFloats })
  readonly #owned = new WeakSet<DataId>()
  readonly #storage: WatchedStorage

  constructor() {
    super()
    this.#storage = new WatchedStorage(this, (dataId) => {
      if (this.#owned.delete(dataId)) this.#pool.lose(this.#storage.peek(dataId).values as Float32Array)
    })
    this.data = this.#storage
    // tfjs prints an advertisement for another package at the first tensor of a cpu backend
    Object.assign(this, { firstUse: false })
  }

  /** Values of an f32 tensor for the duration of one native call. */
  floats(tensor: tf.TensorInfo): Float32Array {
    // A tensor of another backend is moved here by the first get; peek does not know it yet.
    const entry = this.#storage.has(tensor.dataId)
      ? this.#storage.peek(tensor.dataId)
      : this.#storage.get(tensor.dataId)
    if (!(entry.values instanceof Float32Array))
      throw new KernelError("KERNEL_SHAPE", `native kernel: expected a float32 tensor, got ${entry.dtype}`)
    return entry.values
  }

  /** Memory for one output; undefined contents. */
  take(length: number): Float32Array {
    return this.#pool.take(length)
  }

  /** Hands an output over to tfjs. `values` must come from `take` and be written in full. */
  output(values: Float32Array, shape: number[]): tf.TensorInfo {
    const info = this.makeTensorInfo(shape, "float32", values)
    this.#owned.add(info.dataId)
    return info
  }

  /** Another reference to the data of `tensor`. */
  same({ dataId, shape, dtype }: tf.TensorInfo): tf.TensorInfo {
    this.incRef(dataId)
    return { dataId, shape, dtype }
  }

  /** Bytes waiting to be used again. */
  get idleBytes(): number {
    return this.#pool.idleBytes
  }

  override refCount(dataId: DataId): number {
    return this.#storage.has(dataId) ? this.#storage.peek(dataId).refCount : 0
  }

  override incRef(dataId: DataId): void {
    this.#storage.peek(dataId).refCount++
  }

  override decRef(dataId: DataId): void {
    if (this.#storage.has(dataId)) this.#storage.peek(dataId).refCount--
  }

  override disposeData(dataId: DataId, force = false): boolean {
    if (!this.#storage.has(dataId)) return true
    const entry = this.#storage.peek(dataId)
    if (entry.complexTensorInfos) return super.disposeData(dataId, force)
    entry.refCount--
    if (!force && entry.refCount > 0) return false
    if (this.#owned.delete(dataId)) this.#pool.give(entry.values as Float32Array)
    this.#storage.delete(dataId)
    return true
  }
}
