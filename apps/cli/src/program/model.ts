import type { Command } from "commander"

import { json } from "./options.js"

/** model pull, list, remove. */
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
