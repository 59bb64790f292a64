import type { Command } from "commander"

import { appended, nonNegative, nonNegativeInt, positiveInt } from "../arguments.js"
import { addModelOptions } from "./options.js"

/** generate. */
export function addGeneration(program: Command): void {
  const generate = program
    .command("generate <model>")
    .description("continue a prompt, streaming the text to stdout")
    .option("--prompt <text>", "what to continue")
    .option("--prompt-file <file>", "the same from a file, - for stdin")
  addModelOptions(addSamplingOptions(generate, { temperature: 0 })).action(async (model, options) =>
    (await import("../commands/generate.js")).generateCommand(model, options),
  )
}

/** Options that say how tokens are chosen (commands/generate.ts, SamplingOptions). */
function addSamplingOptions(command: Command, defaults: { temperature: number; topP?: number }): Command {
  return command
    .option("--max-tokens <number>", "tokens of an answer, at most", positiveInt, 256)
    .option("--temperature <number>", "0 always takes the best token", nonNegative, defaults.temperature)
    .option("--top-k <number>", "only so many of the best tokens", positiveInt)
    .option("--top-p <number>", "only the best tokens that together reach this probability", nonNegative, defaults.topP)
    .option("--min-p <number>", "only tokens with this share of the best one's probability", nonNegative)
    .option("--repetition-penalty <number>", "above 1: what was said becomes less likely", nonNegative)
    .option("--seed <number>", "the same seed gives the same answer (default: drawn)", nonNegativeInt)
    .option("--stop <text>", "end before this text; may be given several times", appended, [])
}
