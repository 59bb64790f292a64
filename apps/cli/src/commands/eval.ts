import type { Command } from "commander"

import { exact, generated } from "../eval/answers.js"
import { choice } from "../eval/choice.js"
import type { Outcome, TaskOptions } from "../eval/evaluation.js"
import { perplexity } from "../eval/perplexity.js"
import { checkTaskOptions } from "../eval/task-options.js"
import { untilInterrupted } from "../interrupt.js"
import { openModel } from "../open-model.js"
import type { ModelOptions } from "../open-model.js"
import { countView } from "../output/count-view.js"
import { checkWritable, writeText } from "../output/files.js"
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
export async function evalCommand(path: string, options: EvalOptions, command: Command): Promise<void> {
  const { run, unit } = TASKS[options.task]
  checkTaskOptions(options.task, command)
  if (options.out !== undefined) await checkWritable(options.out)
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
  if (options.json) printJson(outcome.figures)
  else process.stdout.write(`${outcome.line}\n`)
  const items = (outcome.items ?? []).map((item) => `${JSON.stringify(item)}\n`)
  if (options.out !== undefined) await writeText(options.out, items.join(""))
}
