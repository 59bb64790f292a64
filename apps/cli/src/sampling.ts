import type { SamplingSettings } from "@lamina/tuner"

/** How tokens are chosen, as the command line says it (program/generate.ts, addSamplingOptions). */
export interface SamplingOptions {
  readonly maxTokens: number
  readonly temperature: number
  readonly topK?: number
  readonly topP?: number
  readonly minP?: number
  readonly repetitionPenalty?: number
  readonly seed?: number
  readonly stop: readonly string[]
}

/** A seed that is not given is drawn, and the answer is another one every time. */
export function samplingOf(options: SamplingOptions): SamplingSettings {
  const { temperature, topK, topP, minP, repetitionPenalty, seed = Math.floor(Math.random() * 2 ** 32) } = options
  return { temperature, topK, topP, minP, repetitionPenalty, seed }
}
