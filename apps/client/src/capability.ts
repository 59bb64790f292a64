import { availableParallelism, freemem, totalmem } from "node:os"

import type { Capability, HeldPrecision } from "@lamina/protocol"

import type { Trainer } from "./trainer.js"
import type { TransferRates } from "./transfer-meter.js"

/** What a client wants to spend; 0: no limit of its own. */
export interface ResourceLimits {
  /** Memory the client may use. */
  readonly memoryBytesMax: number
  /** Bytes of one update. */
  readonly uploadBytesMax: number
  /** Bytes of one global adapter. */
  readonly downloadBytesMax: number
}

interface CapabilityWishes extends Partial<ResourceLimits> {
  /** Largest rank this client wants to train; 0: the recipe decides. */
  readonly rankMax: number
  /** Storage of the base it can afford: empty: the recipe decides. */
  readonly precision: "" | HeldPrecision
  /** Documents of its data set, 0 where nobody counted. */
  readonly examples: number
}

/** Of machine or container, once asked: reading it takes as long as a signature. */
let totalBytes: number | undefined

const NO_TRANSFERS: TransferRates = { uploadBytesPerSecond: 0, downloadBytesPerSecond: 0 }

/**
 * What this machine can do, for the plan: memory and cores from the system (at most `memoryBytesMax`), kernels and
 * tokens/s measured by the trainer, `rates` from earlier transfers.
 */
export async function reportCapability(
  trainer: Pick<Trainer, "calibrate">,
  wishes: CapabilityWishes,
  rates: TransferRates = NO_TRANSFERS,
): Promise<Capability> {
  const { kernels, tokensPerSecond, forwardTokensPerSecond = 0 } = await trainer.calibrate()
  const { memoryBytesMax = 0, uploadBytesMax = 0, downloadBytesMax = 0, rankMax, precision, examples } = wishes
  const capped = (bytes: number): number => (memoryBytesMax > 0 ? Math.min(bytes, memoryBytesMax) : bytes)
  return {
    memoryBytes: capped((totalBytes ??= memoryBytes(process.constrainedMemory(), totalmem()))),
    cores: availableParallelism(),
    kernels,
    tokensPerSecond,
    platform: `${process.platform}-${process.arch}`,
    node: process.versions.node,
    ...{ rankMax, precision, examples },
    freeMemoryBytes: capped(freeMemoryBytes()),
    forwardTokensPerSecond,
    ...rates,
    ...{ uploadBytesMax, downloadBytesMax },
  }
}

/** A container's limit where there is one: the system says 0, undefined or something near 2^64 where there is none. */
export function memoryBytes(constrained: number | undefined, total: number): number {
  return constrained !== undefined && constrained > 0 && constrained < total ? constrained : total
}

/** For many clients of one process that come at once. */
const FREE_KEPT_MS = 1_000
let free = { bytes: 0, untilMs: 0 }

/** Bytes that are free, of the machine, or of the container where it has less, a second ago at most. */
function freeMemoryBytes(): number {
  const nowMs = performance.now()
  if (nowMs >= free.untilMs)
    free = { bytes: Math.floor(memoryBytes(process.availableMemory(), freemem())), untilMs: nowMs + FREE_KEPT_MS }
  return free.bytes
}
