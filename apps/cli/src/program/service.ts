import { Option } from "commander"
import type { Command } from "commander"

import { byteCount, nonNegativeInt, positiveInt } from "../arguments.js"
import { addDataOptions, backend, compute, heldPrecision, json } from "./options.js"

const LOG_LEVELS = ["fatal", "error", "warn", "info", "debug", "trace", "silent"]

const joinToken = (use: string): Option => new Option("--join-token <token>", use).env("LAMINA_JOIN_TOKEN")

/** serve, join, run. */
export function addService(program: Command): void {
  program
    .command("serve")
    .description("run the coordinator service")
    .addOption(
      new Option("--port <number>", "TCP port, 0 for a free one")
        .env("LAMINA_PORT")
        .argParser(nonNegativeInt)
        .default(7700),
    )
    .addOption(
      new Option("--host <address>", "address to listen on, 0.0.0.0 for all").env("LAMINA_HOST").default("127.0.0.1"),
    )
    .addOption(
      new Option("--data-dir <folder>", "database, adapters and keys").env("LAMINA_DATA_DIR").default("lamina-data"),
    )
    .option("--recipe <file>", "start this run unless the data folder already has one of its name")
    .addOption(joinToken("clients must present it; 8 to 200 characters"))
    .addOption(
      new Option("--log-level <level>", "how much to log").env("LAMINA_LOG_LEVEL").choices(LOG_LEVELS).default("info"),
    )
    .option("--json", "print one JSON object as the first line of stdout, once it listens")
    .action(async (options) => (await import("../commands/serve.js")).serve(options))
  const join = program
    .command("join <url>")
    .description("take part in the coordinator's run as a client, with data that stays here")
    .requiredOption("--data <file...>", ".txt, .jsonl, .csv or .parquet")
    .option("--name <name>", "shown to the operator (default: this machine's name)")
    .option("--base <model>", "the base model, if it is already on this machine (else it is downloaded)")
    .option("--work-dir <folder>", "identity, cache and spool")
    .option("--rank <number>", "largest LoRA rank this machine can afford", positiveInt)
    .addOption(heldPrecision())
    .option("--memory <bytes>", "memory it may use, such as 4GB (default: what the machine has)", byteCount)
    .option("--upload-max <bytes>", "largest update to send, such as 10MB", byteCount)
    .option("--download-max <bytes>", "largest global adapter to take, such as 100MB", byteCount)
    .option("--threads <number>", "CPU threads", positiveInt)
    .addOption(compute("bf16"))
    .addOption(joinToken("if the coordinator asks for one"))
    .addOption(backend())
    .addOption(json())
  addDataOptions(join).action(async (url, options) => (await import("../commands/join.js")).join(url, options))
  program
    .command("run <recipe>")
    .description("start a run on a coordinator of this machine")
    .option("--coordinator <url>", "address of the coordinator", "http://127.0.0.1:7700")
    .option("--token-file <file>", "the coordinator's admin.token", "lamina-data/admin.token")
    .addOption(json())
    .action(async (recipe, options) => (await import("../commands/run.js")).startRun(recipe, options))
}
