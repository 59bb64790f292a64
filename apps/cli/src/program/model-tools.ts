import { Option } from "commander"
import type { Command } from "commander"

import { numberList, positiveInt } from "../arguments.js"
import { addModelOptions, json } from "./options.js"

/** eval, aggregate, export. */
export function addModelTools(program: Command): void {
  addModelOptions(
    program
      .command("eval <model>")
      .description("perplexity of a model on a text, with or without PEFT adapters")
      .requiredOption("--data <file>", ".txt, .jsonl or .csv; a text file is one document"),
  ).action(async (model, options) => (await import("../commands/eval.js")).evalCommand(model, options))
  program
    .command("aggregate <adapter...>")
    .description("combine PEFT adapter folders exactly, and report the error per module")
    .addOption(new Option("--strategy <name>", "how to combine").choices(["flora", "fedit"]).default("flora"))
    .option("--weights <list>", "one number per adapter, e.g. 3,1,2 (default: equal)", numberList)
    .requiredOption("--out <folder>", "PEFT adapter folder to write")
    .addOption(json())
    .action(async (folders, options) => (await import("../commands/aggregate.js")).aggregateCommand(folders, options))
  program
    .command("export <source>")
    .description("write the global adapter of a run as a PEFT folder; source is a run's folder or a coordinator's URL")
    .requiredOption("--out <folder>", "PEFT adapter folder to write")
    .option("--run <id>", "which run (default: the newest)")
    .option("--round <number>", "which round's adapter (default: the last)", positiveInt)
    .option("--token-file <file>", "the coordinator's admin.token, with a URL")
    .addOption(json())
    .action(async (source, options) => (await import("../commands/export.js")).exportCommand(source, options))
}
