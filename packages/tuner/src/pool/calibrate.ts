import type { Base, EvaluationJob, JobOptions, TrainingJob, TunerPool } from "../api.js"
import { moduleSlot } from "../model/module-slot.js"

/** Steps and passes stop after this long; the one that runs is finished. */
const TRAINING_MS = 1_200
const FORWARD_MS = 400
const CONTEXT = 128
const TEXT = "A machine that trains is measured with the work it will get: the same layers, a few steps. "

/** What a client reports of itself. */
export interface Calibration {
  /** As the pool names them. */
  readonly kernels: string
  /** Tokens per second of training with rank 16 on every linear layer, the reference of planning: the median step. */
  readonly tokensPerSecond: number
  /** Tokens per second of evaluation: the median forward pass. */
  readonly forwardTokensPerSecond: number
}

/**
 * Trains a throwaway adapter on `base` for about a second, then evaluates for half of one; a machine that takes
 * longer for one step and one pass takes as long as they do. Codes as TunerPool.train.
 */
export async function calibrate(
  base: Base,
  pool: TunerPool,
  options: Pick<JobOptions, "signal"> = {},
): Promise<Calibration> {
  const tokensPerSecond = await trainingSpeed(base, pool, options)
  const forwardTokensPerSecond = await forwardSpeed(base, pool, options)
  return { kernels: pool.kernels, tokensPerSecond, forwardTokensPerSecond }
}

async function trainingSpeed(base: Base, pool: TunerPool, options: Pick<JobOptions, "signal">): Promise<number> {
  const speeds: number[] = []
  let deadline = 0
  await enough(options.signal, async (signal, stop) => {
    const onProgress = ({ tokensPerSecond }: { tokensPerSecond: number }): void => {
      speeds.push(tokensPerSecond)
      deadline ||= performance.now() + TRAINING_MS - (1_000 * CONTEXT) / tokensPerSecond
      if (performance.now() >= deadline) stop()
    }
    await pool.train(burst(base), { signal, onProgress })
  })
  return median(speeds.length > 1 ? speeds.slice(1) : speeds)
}

/**
 * A sentence first: where that takes long by itself (the reference kernels need seconds) it is the measurement, and
 * elsewhere it has read the files before passes of thousands of tokens are timed.
 */
async function forwardSpeed(base: Base, pool: TunerPool, options: Pick<JobOptions, "signal">): Promise<number> {
  const started = performance.now()
  const { tokens } = await pool.evaluate(passes(base, TEXT), options)
  const sentenceMs = performance.now() - started
  if (sentenceMs > FORWARD_MS) return (1_000 * tokens) / sentenceMs
  const job = passes(base, TEXT.repeat(200))
  const speeds: number[] = []
  let [doneRows, at, deadline] = [0, performance.now(), 0]
  await enough(options.signal, async (signal, stop) => {
    const onCount = ({ done }: { done: number }): void => {
      const now = performance.now()
      speeds.push((1_000 * (done - doneRows) * job.context) / (now - at))
      deadline ||= now + FORWARD_MS
      ;[doneRows, at] = [done, now]
      if (now >= deadline) stop()
    }
    await pool.evaluate(job, { signal, onCount })
  })
  return median(speeds.length > 1 ? speeds.slice(1) : speeds) // before the first pass the text is tokenized
}

/** `work`, which may call `stop` to end by an abort of its own; another's abort rejects with its reason. */
async function enough(
  outer: AbortSignal | undefined,
  work: (signal: AbortSignal, stop: () => void) => Promise<void>,
): Promise<void> {
  const controller = new AbortController()
  try {
    await work(AbortSignal.any([controller.signal, ...(outer ? [outer] : [])]), () => controller.abort())
  } catch (error) {
    if (!controller.signal.aborted) throw error
  }
  outer?.throwIfAborted()
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

function passes(base: Base, text: string): EvaluationJob & { readonly context: number } {
  const data = { kind: "documents", documents: [text] } as const
  return { base, data, context: Math.min(CONTEXT, base.config.context), compute: "bf16" }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right)
  return sorted[Math.floor(sorted.length / 2)] ?? 0
}
