import type { JobCount } from "@lamina/tuner"

import type { DataOptions } from "../data-options.js"
import type { OpenModel } from "../open-model.js"

/** What `lamina eval` is told about the data, whatever the task (program/model-tools.ts). */
export interface TaskOptions extends DataOptions {
  readonly data: string
  /** Only so many questions or prompts, from the first. */
  readonly limit?: number
  readonly choices: "text" | "letter"
  /** Which tokens count (perplexity). */
  readonly lossOn: "all" | "response"
  readonly chat?: boolean
  readonly system?: string
  readonly maxTokens: number
  readonly stop: readonly string[]
}

/** A task on its way: what runs it, and who is told how far it is. */
export interface Evaluation {
  readonly model: OpenModel
  readonly options: TaskOptions
  readonly signal: AbortSignal
  readonly onCount: (count: JobCount) => void
}

/** Figures by name, as `--json` prints them, and one line for people. */
export interface Outcome {
  readonly figures: Readonly<Record<string, number | string>>
  readonly line: string
  /** One object per question or prompt, for `--out`. */
  readonly items?: readonly object[]
}
