import { Option } from "commander"
import type { Command } from "commander"

import { positiveInt } from "../arguments.js"
import { json } from "./options.js"

/** model pull, list, remove, inspect, quantize. */
export function addModel(program: Command): void {
  const model = program
    .command("model")
    .description("get models from a hub, look into them, quantize them")
    .addHelpText(
      "after",
      `
Where a command takes a <model>, it is a folder as transformers writes it, a GGUF file,
or the name of a model that was pulled: org/repo, org/repo:Q4_K_M, org/repo@revision.`,
    )
  model
    .command("pull <name>")
    .description("download a model of a Hugging Face hub into the cache; an interrupted pull goes on where it was")
    .option("--revision <name>", "branch, tag or commit (default: main)")
    .option("--file <glob...>", "these files only, e.g. --file '*.json' 'model-*.safetensors'")
    .addOption(json())
    .addHelpText(
      "after",
      `
Without --file: safetensors with config and tokenizer, or the repository's only GGUF file.

Examples:
  lamina model pull HuggingFaceTB/SmolLM2-135M-Instruct
  lamina model pull bartowski/SmolLM2-135M-Instruct-GGUF:Q4_K_M
  HF_ENDPOINT=https://hub.example lamina model pull org/repo --revision v1.0

Environment: HF_ENDPOINT (a mirror), HF_TOKEN (for gated and private models),
HF_HUB_OFFLINE=1 (never fetch), HTTPS_PROXY, LAMINA_HOME (the cache is its models folder).`,
    )
    .action(async (name, options) => (await import("../commands/model/pull.js")).pullCommand(name, options))
  addCacheCommands(model)
  addWeightCommands(model)
}

function addCacheCommands(model: Command): void {
  model
    .command("list")
    .description("the models in the cache: size, files, revision, when last used")
    .addOption(json())
    .action(async (options) => (await import("../commands/model/list.js")).listCommand(options))
  model
    .command("remove <name>")
    .description("take a model out of the cache")
    .addOption(json())
    .action(async (name, options) => (await import("../commands/model/remove.js")).removeCommand(name, options))
}

function addWeightCommands(model: Command): void {
  model
    .command("inspect <model>")
    .description("what a model is: architecture, tensors, quantization, tokenizer, memory to hold and to train it")
    .option("--tensors", "list every tensor with its type, shape and size")
    .option("--rank <number>", "LoRA rank that memory for training is counted with", positiveInt, 16)
    .option("--tokens <number>", "tokens of a training step that memory is counted with", positiveInt, 512)
    .addOption(json())
    .addHelpText(
      "after",
      "\nExamples:\n  lamina model inspect org/repo --tensors\n  lamina model inspect model.gguf --json",
    )
    .action(async (name, options) => (await import("../commands/model/inspect.js")).inspectCommand(name, options))
  model
    .command("quantize <model>")
    .description("write a model in another format, with the error it made per tensor")
    .addOption(
      new Option("--format <name>", "format of the linears")
        .choices(["q8", "q4", "nf4", "f16", "bf16"])
        .makeOptionMandatory(),
    )
    .requiredOption("--out <folder>", "new or empty folder to write")
    .option("--keep <glob...>", "linears that stay as they are, e.g. lm_head '*.down_proj'")
    .addOption(json())
    .addHelpText(
      "after",
      `
Formats: q8 (8 bits, a scale per 32), q4 (4 bits, scale and minimum per 32),
nf4 (QLoRA's 4 bits, double quantization), f16, bf16. Every command takes the folder as its <model>.

Examples:
  lamina model quantize org/repo --format q4 --out model-q4
  lamina model quantize org/repo --format nf4 --keep model.embed_tokens --out model-nf4`,
    )
    .action(async (name, options) => (await import("../commands/model/quantize.js")).quantizeCommand(name, options))
}
