import { availableParallelism, totalmem } from "node:os"

import type { Capability, HeldPrecision } from "@lamina/protocol"

import type { Trainer } from "./trainer.js"

interface CapabilityWishes {
  /** Largest rank this client wants to train; 0: the recipe decides. */
  readonly rankMax: number
  /** Storage of the base it can afford: empty: the recipe decides. */
  readonly precision: "" | HeldPrecision
  /** Documents of its data set, 0 where nobody counted. */
  readonly examples: number
}

/**
 * What this machine can do, for the plan: memory and cores from the system, kernels and tokens/s measured by the
 * trainer.
 */
export async function reportCapability(trainer: Trainer, wishes: CapabilityWishes): Promise<Capability> {
  const { kernels, tokensPerSecond } = await trainer.calibrate()
  return {
    memoryBytes: memoryBytes(process.constrainedMemory(), totalmem()),
    cores: availableParallelism(),
    kernels,
    tokensPerSecond,
    platform: `${process.platform}-${process.arch}`,
    node: process.versions.node,
    freeMemoryBytes: 0,
    forwardTokensPerSecond: 0,
    uploadBytesPerSecond: 0,
    downloadBytesPerSecond: 0,
    uploadBytesMax: 0,
    downloadBytesMax: 0,
    ...wishes,
  }
}

/** A container's limit where there is one: the system says 0, undefined or something near 2^64 where there is none. */
export function memoryBytes(constrained: number | undefined, total: number): number {
  return constrained !== undefined && constrained > 0 && constrained < total ? constrained : total
}
