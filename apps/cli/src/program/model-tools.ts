import { STRATEGY_NAMES } from "@lamina/protocol/strategy-names"
import { Option } from "commander"
import type { Command } from "commander"

import { appendedText, numberList, positiveInt } from "../arguments.js"
import { addDataOptions, addModelOptions, json, lossOn } from "./options.js"

/** eval, aggregate, export, forget. */
export function addModelTools(program: Command): void {
  addEval(program)
  program
    .command("aggregate <adapter...>")
    .description("combine PEFT adapter folders, and report the error per module")
    .addOption(new Option("--strategy <name>", "how to combine").choices(STRATEGY_NAMES).default("flora"))
    .option("--weights <list>", "one number per adapter, e.g. 3,1,2 (default: equal)", numberList)
    .requiredOption("--out <folder>", "PEFT adapter folder to write")
    .option("--base <model>", "what the written adapter names as its base (default: what the given ones name)")
    .addOption(json())
    .action(async (folders, options) => (await import("../commands/aggregate.js")).aggregateCommand(folders, options))
  program
    .command("export <source>")
    .description("write an adapter; source is a run's folder, a coordinator's URL or a PEFT adapter folder")
    .requiredOption("--out <path>", "what to write: a folder, or with --format gguf a file")
    .addOption(
      new Option("--format <name>", "PEFT folder, GGUF adapter for llama.cpp, or base and adapter merged to floats")
        .choices(["peft", "gguf", "merged"])
        .default("peft"),
    )
    .option(
      "--base <model>",
      "the base: needed for gguf and merged, for peft what the adapter names (default: the source's)",
    )
    .addOption(new Option("--type <float>", "of --format merged").choices(["f32", "f16", "bf16"]).default("bf16"))
    .option("--run <id>", "which run (default: the newest)")
    .option("--round <number>", "which round's adapter (default: the last)", positiveInt)
    .option("--token-file <file>", "the coordinator's admin.token, with a URL")
    .addOption(json())
    .action(async (source, options) => (await import("../commands/export.js")).exportCommand(source, options))
  addForget(program)
}

function addForget(program: Command): void {
  program
    .command("forget <client>")
    .description("build a run's global adapter again without one client, by its name or id")
    .addOption(
      new Option("--data-dir <folder>", "of a coordinator that is not running, or a simulation's folder")
        .env("LAMINA_DATA_DIR")
        .default("lamina-data"),
    )
    .option("--run <id>", "which run (default: the newest)")
    .option("--out <folder>", "PEFT adapter folder to write", "runs/forget")
    .addOption(json())
    .addHelpText(
      "after",
      `
Needs a run whose recipe said globalAdapter.keepUpdates: true. Every round is first aggregated
again from the kept updates and must come to the recorded hash. Nothing in the data folder changes.`,
    )
    .action(async (client, options) => (await import("../commands/forget.js")).forgetCommand(client, options))
}

function addEval(program: Command): void {
  const command = program
    .command("eval <model>")
    .description("judge a model on a file of data, with or without PEFT adapters")
    .requiredOption("--data <file>", ".txt, .jsonl, .csv or .parquet for perplexity; .jsonl, .json or .csv else")
    .addOption(
      new Option("--task <name>", "what to judge by")
        .choices(["perplexity", "choice", "exact", "generate"])
        .default("perplexity"),
    )
    .option("--limit <number>", "only so many questions or prompts", positiveInt)
    .addOption(
      new Option("--choices <style>", "what of an option is scored (choice)")
        .choices(["text", "letter"])
        .default("text"),
    )
    .addOption(lossOn("all"))
    .option("--chat", "prompts are a user's messages: write them with the model's chat template")
    .option("--system <text>", "an instruction before each (with --chat)")
    .option("--max-tokens <number>", "tokens of an answer, at most (exact, generate)", positiveInt, 256)
    .option("--stop <text>", "end an answer before this text; may be given several times", appendedText, [])
    .option("--out <file>", "write every question or prompt with its answer as JSON lines")
  addDataOptions(addModelOptions(command))
    .addOption(json())
    .action(async (model, options, command) =>
      (await import("../commands/eval.js")).evalCommand(model, options, command),
    )
}
