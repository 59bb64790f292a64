import { LaminaError } from "@lamina/protocol/errors"
import type { Command } from "commander"

type Task = "perplexity" | "choice" | "exact" | "generate"
const GENERATED = ["exact", "generate"] as const
const PROMPTED = ["choice", ...GENERATED] as const

/** Options of `lamina eval` that not every task has a use for. */
const TASKS_OF: Readonly<Record<string, readonly Task[]>> = {
  limit: PROMPTED,
  chat: PROMPTED,
  system: PROMPTED,
  out: PROMPTED,
  choices: ["choice"],
  maxTokens: GENERATED,
  stop: GENERATED,
  lossOn: ["perplexity"],
  promptField: ["perplexity", ...GENERATED],
  responseField: ["perplexity", ...GENERATED],
  textField: ["perplexity"],
  messagesField: ["perplexity"],
  separator: ["perplexity"],
  chatTemplate: ["perplexity"],
}

/** USAGE for an option on the command line that the task would not look at. */
export function checkTaskOptions(task: Task, command: Command): void {
  for (const option of command.options) {
    const key = option.attributeName()
    const tasks = TASKS_OF[key] ?? [task]
    if (tasks.includes(task) || command.getOptionValueSource(key) !== "cli") continue
    throw new LaminaError("USAGE", `${option.long}: goes with --task ${tasks.join(", ")}, got --task ${task}`)
  }
}
