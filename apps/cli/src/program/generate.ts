import type { Command } from "commander"

import { appendedText, nonNegative, positive, positiveInt, probability, seed32, upToOne } from "../arguments.js"
import { addModelOptions, json } from "./options.js"

/** generate, chat. */
export function addGeneration(program: Command): void {
  const generate = program
    .command("generate <model>")
    .description("continue a prompt, streaming the text to stdout")
    .option("--prompt <text>", "what to continue")
    .option("--prompt-file <file>", "the same from a file, - for stdin")
    .option("--chat", "the prompt is a user's message: write it with the model's chat template")
    .option("--system <text>", "an instruction before it (with --chat)")
  addModelOptions(addSamplingOptions(generate, { maxTokens: 256, temperature: 0 }))
    .addOption(json())
    .action(async (model, options) => (await import("../commands/generate.js")).generateCommand(model, options))
  const chat = program
    .command("chat <model>")
    .description("talk with a model by its chat template; in a pipe, one question a line")
    .option("--system <text>", "an instruction for the whole conversation")
  addModelOptions(addSamplingOptions(chat, { maxTokens: 512, temperature: 0.7, topP: 0.95 })).action(
    async (model, options) => (await import("../commands/chat.js")).chat(model, options),
  )
}

/** Options that say how tokens are chosen (commands/generate.ts, SamplingOptions). */
function addSamplingOptions(
  command: Command,
  defaults: { maxTokens: number; temperature: number; topP?: number },
): Command {
  return command
    .option("--max-tokens <number>", "tokens of an answer, at most", positiveInt, defaults.maxTokens)
    .option("--temperature <number>", "0 always takes the best token", nonNegative, defaults.temperature)
    .option("--top-k <number>", "only so many of the best tokens", positiveInt)
    .option("--top-p <number>", "only the best tokens that together reach this probability", probability, defaults.topP)
    .option("--min-p <number>", "only tokens with this share of the best one's probability", upToOne)
    .option("--repetition-penalty <number>", "above 1: what was said becomes less likely", positive)
    .option("--seed <number>", "the same seed gives the same answer (default: drawn)", seed32)
    .option("--stop <text>", "end before this text; may be given several times", appendedText, [])
}
