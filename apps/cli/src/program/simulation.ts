import type { Command } from "commander"

import { positiveInt } from "../arguments.js"
import { backend, json } from "./options.js"

/** plan, simulate, demo. */
export function addSimulation(program: Command): void {
  program
    .command("plan <recipe>")
    .description("what each kind of client of a recipe would train, and what limits it; trains nothing")
    .option("--scores <file>", "importance of every module: JSON, module -> number (default: all alike)")
    .addOption(json())
    .action(async (recipe, options) => (await import("../commands/plan.js")).planCommand(recipe, options))
  program
    .command("simulate <recipes...>")
    .description("run whole federations here, on a virtual clock; several recipes are compared in one report")
    .option("--out <folder>", "everything the run leaves; running again there continues it", "runs/simulation")
    .option("--workers <number>", "training threads (default: one per core)", positiveInt)
    .addOption(backend())
    .addOption(json())
    .action(async (recipes, options) => (await import("../commands/simulate.js")).simulateCommand(recipes, options))
  program
    .command("demo")
    .description("federate eight clients over the State of the Union addresses after 1945")
    .option("--out <folder>", "everything the demo leaves", "runs/demo")
    .addOption(backend())
    .addOption(json())
    .action(async (options) => (await import("../demo/demo.js")).demo(options))
}
