import type { HeldPrecision } from "@lamina/protocol"
import { Option } from "commander"
import type { Command } from "commander"

import { appended, positiveInt } from "../arguments.js"

/** Options that several commands share. */
export const compute = (fallback: string): Option =>
  new Option("--compute <precision>", "arithmetic of the big products")
    .choices(["f32", "bf16", "int8"])
    .default(fallback)
/** How a client holds the base: the words of recipes and plans. */
export const heldPrecision = (): Option => {
  const formats: readonly HeldPrecision[] = ["f32", "bf16", "q8", "q4", "nf4"]
  return new Option("--precision <format>", "how to hold the base in memory").choices(formats)
}
export const json = (): Option => new Option("--json", "print one JSON object as the last line of stdout")
export const backend = (): Option =>
  new Option("--backend <name>", "native (C++), cpu, wasm or tensorflow (reference), auto")
    .choices(["auto", "native", "cpu", "wasm", "tensorflow"])
    .default("auto")

export const lossOn = (fallback: "all" | "response"): Option =>
  new Option("--loss-on <tokens>", "which tokens count").choices(["all", "response"]).default(fallback)

/** Options that say how rows of data files are to be read (data-options.ts, DataOptions). */
export function addDataOptions(command: Command): Command {
  return command
    .option("--prompt-field <name>", "column of the prompt")
    .option("--response-field <name>", "column of the answer")
    .option("--text-field <name>", "column of whole texts")
    .option("--messages-field <name>", "column of conversations")
    .option("--separator <text>", "what parts the documents of a text file, \\n for a line end")
    .option("--chat-template", "write prompts and answers as conversations, as the model's chat template has them")
    .option("--no-chat-template", "write conversations plainly whatever the model has")
}

/** Options of the commands that run a model (open-model.ts, ModelOptions). */
export function addModelOptions(command: Command): Command {
  return command
    .option("--adapter <adapter>", "PEFT folder or org/repo that was pulled; several --adapter add up", appended, [])
    .option("--context <tokens>", "tokens the model sees at once (default: the model's context length)", positiveInt)
    .addOption(
      new Option("--precision <format>", "weights in memory")
        .choices(["stored", "f32", "bf16", "f16", "q8", "q4", "nf4"])
        .default("stored"),
    )
    .addOption(compute("f32"))
    .option("--threads <number>", "CPU threads", positiveInt)
    .addOption(backend())
}
