import { createRequire } from "node:module"

import { Command } from "commander"

import { addGeneration } from "./program/generate.js"
import { addMachineTools } from "./program/machine-tools.js"
import { addModel } from "./program/model.js"
import { addModelTools } from "./program/model-tools.js"
import { addService } from "./program/service.js"
import { addSimulation } from "./program/simulation.js"
import { addTraining } from "./program/train.js"

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
  addTraining(program)
  addModel(program)
  addModelTools(program)
  addGeneration(program)
  addMachineTools(program)
  return program
}
