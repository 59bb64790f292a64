import type { Command } from "commander"

import { completionScript } from "../completion.js"
import { json } from "./options.js"

/** doctor, completion. */
export function addMachineTools(program: Command): void {
  program
    .command("doctor")
    .description("what this machine can do, and what is missing")
    .addOption(json())
    .action(async (options) => (await import("../commands/doctor.js")).doctor(options))
  program
    .command("completion <shell>")
    .description("print a completion script for bash, zsh or fish")
    .action((shell: string) => void process.stdout.write(completionScript(shell, program)))
}
