import { Argument } from "commander"
import type { Command } from "commander"

import { completionScript } from "../completion.js"
import { heldPrecision, json } from "./options.js"

/** doctor, completion. */
export function addMachineTools(program: Command): void {
  program
    .command("doctor")
    .description("what this machine can do, and what is missing")
    .option("--base <model>", "measure training of this base, as planning and simulations want it")
    .addOption(heldPrecision().default("q8"))
    .addOption(json())
    .action(async (options) => (await import("../commands/doctor.js")).doctor(options))
  program
    .command("completion")
    .description("print a completion script for bash, zsh or fish")
    .addArgument(new Argument("<shell>").choices(["bash", "zsh", "fish"]))
    .action((shell: string) => void process.stdout.write(completionScript(shell, program)))
}
