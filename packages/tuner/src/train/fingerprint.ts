import { createHash } from "node:crypto"
import type { Hash } from "node:crypto"

import type { FrozenWeight } from "@lamina/kernels"
import type { Adapter } from "@lamina/protocol"

import type { Base, TrainingJob } from "../api.js"

/**
 * Bytes hashed at each end of a weight's codes: two bases that differ anywhere differ in nearly every tensor, and
 * gigabytes stay unread.
 */
const SAMPLE_BYTES = 4_096

/**
 * SHA-256 of everything the result of a job depends on but the backend: base (names, shapes, both ends of every
 * tensor), adapters, modules, settings and the packed data. Where the base lies, where the checkpoint goes and how much
 * memory may be used do not count.
 */
export function jobFingerprint(job: TrainingJob, data: string): string {
  const { modules, scaling, settings } = job
  const hash = createHash("sha256")
  hash.update(
    JSON.stringify({
      config: sorted(job.base.config),
      modules: modules.map(sorted),
      scaling,
      settings: sorted({ ...settings, gradientCheckpointing: undefined }),
    }),
  )
  hashBase(hash, job.base)
  hashAdapter(hash, "global", job.globalAdapter)
  hashAdapter(hash, "initial", job.initial)
  hash.update(`data ${data}\n`)
  return hash.digest("hex")
}

function hashBase(hash: Hash, base: Base): void {
  for (const name of Object.keys(base.linears).sort()) {
    const weight = base.linears[name] as FrozenWeight
    hash.update(`${name} ${weight.format} ${weight.rows} ${weight.cols}\n`)
    const codes = bytesOf(weight.codes)
    hash.update(codes.subarray(0, SAMPLE_BYTES)).update(codes.subarray(-SAMPLE_BYTES))
  }
  for (const vectors of [base.norms, base.biases])
    for (const name of Object.keys(vectors).sort()) {
      hash.update(`${name}\n`)
      hashArray(hash, vectors[name] as Float32Array)
    }
}

function hashAdapter(hash: Hash, role: string, adapter: Adapter | undefined): void {
  hash.update(`${role} ${adapter?.modules.length ?? "none"}\n`)
  for (const { name, rank, alpha, scaling, a, b } of adapter?.modules ?? []) {
    hash.update(`${name} ${rank} ${alpha} ${scaling}\n`)
    hashArray(hash, a)
    hashArray(hash, b)
  }
}

function hashArray(hash: Hash, array: Float32Array | Int32Array): void {
  hash.update(`${array.length}\n`).update(bytesOf(array))
}

/** Keys in code-unit order, so that the order a caller wrote them in does not count. */
function sorted(record: object): object {
  return Object.fromEntries(Object.entries(record).sort(([left], [right]) => (left < right ? -1 : 1)))
}

function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
}
