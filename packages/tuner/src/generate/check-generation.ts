import { LaminaError } from "@lamina/protocol/errors"

import type { GenerationJob } from "../api.js"

/**
 * Checks a job against its model before anything is computed; `prompts` are its prompts' ids. Returns the context in
 * tokens. DATA_EMPTY, RECIPE_INVALID.
 */
export function checkGeneration(job: GenerationJob, prompts: readonly Int32Array[]): number {
  const most = job.base.config.context
  const { context = most, maxTokens, batch = 1, sampling, stop = [] } = job
  expectWhole("context", context, { least: 2, most })
  expectWhole("maxTokens", maxTokens, { least: 1 })
  expectWhole("batch", batch, { least: 1 })
  if (stop.includes("")) throw invalid("stop", "text that is not empty", '""')
  if (sampling) {
    const { temperature, topK, topP = 1, minP = 0, repetitionPenalty = 1, seed } = sampling
    expectReal("temperature", temperature, "a number from 0", temperature >= 0)
    if (topK !== undefined) expectWhole("topK", topK, { least: 1 })
    expectReal("topP", topP, "a number above 0, at most 1", topP > 0 && topP <= 1)
    expectReal("minP", minP, "a number from 0 to 1", minP >= 0 && minP <= 1)
    expectReal("repetitionPenalty", repetitionPenalty, "a number above 0", repetitionPenalty > 0)
    expectWhole("seed", seed, { least: 0, most: 2 ** 32 - 1 })
  }
  if (prompts.length === 0) throw new LaminaError("DATA_EMPTY", "expected at least one prompt, got none")
  for (const [index, { length }] of prompts.entries()) {
    if (length === 0)
      throw new LaminaError("DATA_EMPTY", `prompt ${index + 1}: expected at least one token, got an empty text`)
    if (length >= context)
      throw new LaminaError(
        "RECIPE_INVALID",
        `prompt ${index + 1}: expected at most ${context - 1} tokens in a context of ${context}, got ${length}`,
      )
  }
  return context
}

function expectWhole(name: string, value: number, bounds: { least: number; most?: number }): void {
  const { least, most = Number.MAX_SAFE_INTEGER } = bounds
  if (Number.isInteger(value) && value >= least && value <= most) return
  throw invalid(name, bounds.most === undefined ? `a whole number from ${least}` : `${least}..${most}`, value)
}

function expectReal(name: string, value: number, expected: string, holds: boolean): void {
  if (!Number.isFinite(value) || !holds) throw invalid(name, expected, value)
}

function invalid(name: string, expected: string, got: unknown): LaminaError {
  return new LaminaError("RECIPE_INVALID", `${name}: expected ${expected}, got ${String(got)}`)
}
