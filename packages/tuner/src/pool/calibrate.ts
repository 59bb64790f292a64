import type { Base, JobOptions, TrainingJob, TunerPool } from "../api.js"
import { moduleSlot } from "../model/module-slot.js"

/** Steps stop after this long; the one that runs is finished. */
const BURST_MS = 1_500
const CONTEXT = 128
const TEXT = "A machine that trains is measured with the work it will get: the same layers, a few steps. "

/** What a client reports of itself. */
export interface Calibration {
  /** As the pool names them. */
  readonly kernels: string
  /** Tokens per second of training with rank 16 on every linear layer, the reference of planning: the median step. */
  readonly tokensPerSecond: number
}

/** Trains a throwaway adapter on `base` for about a second and a half. Codes as TunerPool.train. */
export async function calibrate(
  base: Base,
  pool: TunerPool,
  options: Pick<JobOptions, "signal"> = {},
): Promise<Calibration> {
  const speeds: number[] = []
  const enough = new AbortController()
  const signals = [enough.signal, ...(options.signal ? [options.signal] : [])]
  let deadline = 0
  const onProgress = ({ tokensPerSecond }: { tokensPerSecond: number }): void => {
    speeds.push(tokensPerSecond)
    deadline ||= performance.now() + BURST_MS - (1_000 * CONTEXT) / tokensPerSecond
    if (performance.now() >= deadline) enough.abort()
  }
  try {
    await pool.train(burst(base), { signal: AbortSignal.any(signals), onProgress })
  } catch (error) {
    if (!enough.signal.aborted) throw error
  }
  options.signal?.throwIfAborted()
  return { kernels: pool.kernels, tokensPerSecond: median(speeds.length > 1 ? speeds.slice(1) : speeds) }
}

function burst(base: Base): TrainingJob {
  const modules = Object.entries(base.linears)
    .filter(([name]) => moduleSlot(base.config, name))
    .map(([name, { rows, cols }]) => ({ name, outFeatures: rows, inFeatures: cols, rank: 16, alpha: 32 }))
  return {
    ...{ base, modules, scaling: "lora", data: { kind: "documents", documents: [TEXT.repeat(40)] } },
    settings: {
      ...{ steps: 200, batch: 1, context: Math.min(CONTEXT, base.config.context), accumulate: 1 },
      ...{ learningRate: 1e-4, schedule: "constant", warmupSteps: 0, clipNorm: 1, weightDecay: 0 },
      ...{ lossOn: "all", dropout: 0, seed: 0, compute: "bf16" },
    },
  }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}
