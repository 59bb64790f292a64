import { writeFile } from "node:fs/promises"

import { LaminaError } from "@lamina/protocol/errors"

import { exact, generated } from "../eval/answers.js"
import { choice } from "../eval/choice.js"
import type { Outcome, TaskOptions } from "../eval/evaluation.js"
import { perplexity } from "../eval/perplexity.js"
import { untilInterrupted } from "../interrupt.js"
import { openModel } from "../open-model.js"
import type { ModelOptions } from "../open-model.js"
import { countView } from "../output/count-view.js"
import { printJson } from "../output/json.js"

const TASKS = {
  perplexity: { run: perplexity, unit: "rows" },
  choice: { run: choice, unit: "questions" },
  exact: { run: exact, unit: "answers" },
  generate: { run: generated, unit: "answers" },
} as const

interface EvalOptions extends ModelOptions, TaskOptions {
  readonly task: keyof typeof TASKS
  readonly out?: string
  readonly json?: boolean
}

/** `lamina eval`: one task over a file of data; docs/evaluation.md defines the figures. */
export async function evalCommand(path: string, options: EvalOptions): Promise<void> {
  const { run, unit } = TASKS[options.task]
  const model = await openModel(path, options)
  const view = countView(unit, process.stderr)
  let outcome: Outcome
  try {
    outcome = await untilInterrupted((signal) =>
      run({ model, options, signal, onCount: (count) => view.update(count) }),
    )
  } finally {
    view.close()
    await model.pool.close()
  }
  if (options.out !== undefined) await writeItems(options.out, outcome.items)
  if (options.json) printJson(outcome.figures)
  else process.stdout.write(`${outcome.line}\n`)
}

async function writeItems(path: string, items: Outcome["items"]): Promise<void> {
  if (items === undefined) throw new LaminaError("USAGE", "--out: perplexity has no answers to write")
  await writeFile(path, items.map((item) => `${JSON.stringify(item)}\n`).join("")).catch((cause: Error) => {
    throw new LaminaError("FILE_UNWRITABLE", `${path}: ${cause.message}`, { cause })
  })
}
