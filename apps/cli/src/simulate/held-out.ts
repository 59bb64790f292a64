import type { Adapter, HeldPrecision } from "@lamina/protocol"
import { sharedBase } from "@lamina/tuner"
import type { DataSource, TunerPool } from "@lamina/tuner"

/** A client's held-out text, scored on the base as that client holds it in memory. */
export interface HeldOutText {
  readonly name: string
  readonly data: DataSource
  readonly precision: HeldPrecision
}

/** loss: natural log, mean over predicted tokens; accuracy: share of them that are the model's first choice. */
export interface Score {
  readonly loss: number
  readonly accuracy: number
  readonly tokens: number
}

export interface Scores {
  readonly perClient: Readonly<Record<string, Score>>
  readonly overall: Score
}

interface ScoringSetting {
  readonly pool: TunerPool
  readonly baseFolder: string
  readonly context: number
  /** Which tokens count; default: all. */
  readonly lossOn?: "all" | "response"
  readonly signal: AbortSignal
}

/** Scores every text under the adapters given for it (the same for all clients, or each its own). */
export async function scoreHeldOut(
  setting: ScoringSetting,
  texts: readonly HeldOutText[],
  adaptersOf: (name: string) => readonly Adapter[],
): Promise<Scores> {
  const scored = await Promise.all(
    texts.map(async ({ name, data, precision }) => {
      const base = await sharedBase(setting.baseFolder, precision)
      const { context, lossOn } = setting
      const job = { base, adapters: adaptersOf(name), data, context, ...(lossOn ? { lossOn } : {}) }
      const { loss, accuracy, tokens } = await setting.pool.evaluate(job, { signal: setting.signal })
      return [name, { loss, accuracy, tokens }] as const
    }),
  )
  return { perClient: Object.fromEntries(scored), overall: pooled(scored.map(([, score]) => score)) }
}

/** Token-weighted means of several texts. */
export function pooled(scores: readonly Score[]): Score {
  const tokens = scores.reduce((sum, score) => sum + score.tokens, 0)
  const mean = (of: (score: Score) => number): number =>
    tokens === 0 ? 0 : scores.reduce((sum, score) => sum + of(score) * score.tokens, 0) / tokens
  return { loss: mean(({ loss }) => loss), accuracy: mean(({ accuracy }) => accuracy), tokens }
}

export function perplexity(score: Score): number {
  return Math.exp(score.loss)
}
