import { createRequire } from "node:module"

import { Command, Option } from "commander"

import { positiveInt, nonNegativeInt, numberList } from "./arguments.js"
import { completionScript } from "./completion.js"

const { version } = createRequire(import.meta.url)("../package.json") as { version: string }

/** All commands with their help. Bodies are imported when they run, so that `lamina --help` starts fast. */
export function buildProgram(): Command {
  const program = new Command("lamina")
    .description("Federated LoRA fine-tuning of quantized language models")
    .version(version, "-v, --version")
    .showHelpAfterError("(run with --help for the options)")
    .exitOverride()
    .enablePositionalOptions()
  addService(program)
  addSimulation(program)
  addModelTools(program)
  addMachineTools(program)
  return program
}

const LOG_LEVELS = ["fatal", "error", "warn", "info", "debug", "trace", "silent"]
const compute = (fallback: string): Option =>
  new Option("--compute <precision>", "arithmetic of the big products").choices(["f32", "bf16"]).default(fallback)
const json = (): Option => new Option("--json", "print one JSON object as the last line of stdout")
const backend = (): Option =>
  new Option("--backend <name>", "native (C++), cpu (reference), auto")
    .choices(["auto", "native", "cpu"])
    .default("auto")

function addService(program: Command): void {
  program
    .command("serve")
    .description("run the coordinator service (with --json its first line of stdout is the object)")
    .option("--port <number>", "TCP port, 0 for a free one", nonNegativeInt, 7700)
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .option("--data-dir <folder>", "database, adapters and keys", "lamina-data")
    .option("--recipe <file>", "start this run unless the data folder already has one of its name")
    .option("--join-token <token>", "clients must present it")
    .addOption(new Option("--log-level <level>", "how much to log").choices(LOG_LEVELS).default("info"))
    .addOption(json())
    .action(async (options) => (await import("./commands/serve.js")).serve(options))
  program
    .command("join <url>")
    .description("take part in the coordinator's run as a client, with data that stays here")
    .requiredOption("--data <file...>", ".txt, .jsonl or .csv")
    .option("--name <name>", "shown to the operator (default: this machine's name)")
    .option("--base <folder>", "the base model, if it is already on this machine (else it is downloaded)")
    .option("--work-dir <folder>", "identity, cache and spool")
    .option("--rank <number>", "largest LoRA rank this machine can afford", positiveInt)
    .addOption(new Option("--precision <format>", "how to hold the base in memory").choices(["f32", "q8", "q4"]))
    .option("--threads <number>", "CPU threads", positiveInt)
    .addOption(compute("bf16"))
    .option("--join-token <token>", "if the coordinator asks for one")
    .addOption(backend())
    .addOption(json())
    .action(async (url, options) => (await import("./commands/join.js")).join(url, options))
  program
    .command("run <recipe>")
    .description("start a run on a coordinator of this machine")
    .option("--coordinator <url>", "address of the coordinator", "http://127.0.0.1:7700")
    .option("--token-file <file>", "the coordinator's admin.token", "lamina-data/admin.token")
    .addOption(json())
    .action(async (recipe, options) => (await import("./commands/run.js")).startRun(recipe, options))
}

function addSimulation(program: Command): void {
  program
    .command("simulate <recipe>")
    .description("run a whole federation here: the production coordinator and clients in one process")
    .option("--out <folder>", "everything the run leaves; running again there continues it", "runs/simulation")
    .option("--workers <number>", "training threads (default: one per core)", positiveInt)
    .addOption(backend())
    .addOption(json())
    .action(async (recipe, options) => (await import("./commands/simulate.js")).simulateCommand(recipe, options))
  program
    .command("demo")
    .description("federate eight clients over the State of the Union addresses after 1945")
    .option("--out <folder>", "everything the demo leaves", "runs/demo")
    .addOption(backend())
    .addOption(json())
    .action(async (options) => (await import("./demo/demo.js")).demo(options))
}

function addModelTools(program: Command): void {
  program
    .command("eval <model>")
    .description("perplexity of a Llama-architecture folder, with or without a PEFT adapter")
    .requiredOption("--data <file>", ".txt, .jsonl or .csv; a text file is one document")
    .option("--adapter <folder>", "PEFT adapter folder")
    .option("--context <tokens>", "window length (default: the model's context length)", positiveInt)
    .addOption(
      new Option("--precision <format>", "weights in memory")
        .choices(["stored", "f32", "bf16", "q8", "q4"])
        .default("stored"),
    )
    .addOption(compute("f32"))
    .option("--threads <number>", "CPU threads", positiveInt)
    .addOption(backend())
    .addOption(json())
    .action(async (model, options) => (await import("./commands/eval.js")).evalCommand(model, options))
  program
    .command("aggregate <adapter...>")
    .description("combine PEFT adapter folders exactly, and report the error per module")
    .addOption(new Option("--strategy <name>", "how to combine").choices(["flora", "fedit"]).default("flora"))
    .option("--weights <list>", "one number per adapter, e.g. 3,1,2 (default: equal)", numberList)
    .requiredOption("--out <folder>", "PEFT adapter folder to write")
    .addOption(json())
    .action(async (folders, options) => (await import("./commands/aggregate.js")).aggregateCommand(folders, options))
  program
    .command("export <source>")
    .description("write the global adapter of a run as a PEFT folder; source is a run's folder or a coordinator's URL")
    .requiredOption("--out <folder>", "PEFT adapter folder to write")
    .option("--run <id>", "which run (default: the newest)")
    .option("--round <number>", "which round's adapter (default: the last)", positiveInt)
    .option("--token-file <file>", "the coordinator's admin.token, with a URL")
    .addOption(json())
    .action(async (source, options) => (await import("./commands/export.js")).exportCommand(source, options))
}

function addMachineTools(program: Command): void {
  program
    .command("doctor")
    .description("what this machine can do, and what is missing")
    .addOption(json())
    .action(async (options) => (await import("./commands/doctor.js")).doctor(options))
  program
    .command("completion <shell>")
    .description("print a completion script for bash, zsh or fish")
    .action((shell: string) => void process.stdout.write(completionScript(shell, program)))
}
