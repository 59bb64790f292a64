import { readFile } from "node:fs/promises"
import { text as readAll } from "node:stream/consumers"

import { LaminaError } from "@lamina/protocol/errors"
import type { GeneratedText, GeneratedToken, GenerationResult } from "@lamina/tuner"

import { promptWriter } from "../chat/model-template.js"
import { untilInterrupted } from "../interrupt.js"
import { openModel } from "../open-model.js"
import type { ModelOptions } from "../open-model.js"
import { printJson } from "../output/json.js"
import { samplingOf } from "../sampling.js"
import type { SamplingOptions } from "../sampling.js"

interface GenerateOptions extends ModelOptions, SamplingOptions {
  readonly prompt?: string
  readonly promptFile?: string
  readonly chat?: boolean
  readonly system?: string
  readonly json?: boolean
}

/** `lamina generate`: the text after one prompt, streamed to stdout as it comes; speeds go to stderr. */
export async function generateCommand(model: string, options: GenerateOptions): Promise<void> {
  const prompt = await promptOf(options)
  const { job, pool } = await openModel(model, options)
  const sampling = samplingOf(options)
  const onToken = ({ text }: GeneratedToken): void => void (options.json || process.stdout.write(text))
  try {
    const write = await promptWriter(job.base.folder, options)
    const work = { ...job, prompts: [write(prompt)], maxTokens: options.maxTokens, stop: options.stop, sampling }
    const result = await untilInterrupted((signal) => pool.generate(work, { signal, onToken }))
    report(result, { seed: sampling.seed, json: options.json ?? false })
  } finally {
    await pool.close()
  }
}

async function promptOf({ prompt, promptFile }: GenerateOptions): Promise<string> {
  if ((prompt === undefined) === (promptFile === undefined))
    throw new LaminaError("USAGE", "expected either --prompt or --prompt-file")
  if (prompt !== undefined) return prompt
  try {
    return promptFile === "-" ? await readAll(process.stdin) : await readFile(promptFile as string, "utf8")
  } catch (cause) {
    throw new LaminaError("FILE_UNREADABLE", `--prompt-file: ${(cause as Error).message}`, { cause })
  }
}

function report({ answers, ...speeds }: GenerationResult, { seed, json }: { seed: number; json: boolean }): void {
  const { text, ids, promptTokens, finish } = answers[0] as GeneratedText
  if (json) return printJson({ text, ids, promptTokens, finish, seed, ...speeds })
  process.stdout.write("\n")
  process.stderr.write(
    `${promptTokens} tokens read at ${speeds.promptTokensPerSecond.toFixed(0)}/s, ` +
      `${ids.length} written at ${speeds.tokensPerSecond.toFixed(1)}/s\n`,
  )
}
