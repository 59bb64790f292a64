import { Option } from "commander"
import type { Command } from "commander"

import { nonNegative, nonNegativeInt, positive, positiveInt, share } from "../arguments.js"
import { addDataOptions, backend, compute, json, lossOn } from "./options.js"

/** train. */
export function addTraining(program: Command): void {
  const train = program
    .command("train [model]")
    .description("train a LoRA adapter on this machine alone")
    .option("--data <file...>", ".txt, .jsonl, .csv or .parquet")
    .option("--out <folder>", "everything the training leaves; running again there continues it", "runs/train")
    .option("--fresh", "start over where the folder has a training")
    .option("--config <file>", "YAML with any of these options in camel case, and model; the command line goes before")
  addDataOptions(train)
  addLora(train)
  addSchedule(train)
  addEvaluation(train)
  train
    .addOption(
      new Option("--precision <format>", "weights in memory")
        .choices(["stored", "f32", "bf16", "f16", "q8", "q4", "nf4"])
        .default("stored"),
    )
    .addOption(compute("bf16"))
    .option("--gradient-checkpointing", "compute activations again instead of keeping them: less memory, more time")
    .option("--threads <number>", "CPU threads", positiveInt)
    .option("--save-every <steps>", "steps between two checkpoints", positiveInt, 20)
    .addOption(backend())
    .addOption(json())
    .action(async (model: string | undefined, _, command: Command) =>
      (await import("../commands/train.js")).trainCommand(model, command),
    )
}

function addLora(train: Command): void {
  train
    .option("--rank <number>", "LoRA rank", positiveInt, 16)
    .option("--alpha <number>", "LoRA alpha (default: twice the rank)", positive)
    .option("--target-modules <name...>", "which linears get an adapter (default: all-linear, all of a block)")
    .option("--rslora", "scale by alpha / sqrt(rank) instead of alpha / rank")
    .option("--dropout <share>", "on the input of the LoRA branch", share, 0)
}

function addSchedule(train: Command): void {
  train
    .option("--epochs <number>", "passes over the data (default: 3)", positive)
    .option("--steps <number>", "optimizer steps, instead of passes", positiveInt)
    .option("--batch <rows>", "rows of a micro-batch", positiveInt, 4)
    .option("--accumulate <number>", "micro-batches of one step", positiveInt, 1)
    .option("--context <tokens>", "tokens of a row (default: 512, or the model's context length)", positiveInt)
    .option("--learning-rate <number>", "peak of the schedule", positive, 1e-3)
    .addOption(
      new Option("--schedule <name>", "of the learning rate")
        .choices(["constant", "linear", "cosine"])
        .default("cosine"),
    )
    .option("--warmup-steps <number>", "linear warm-up (default: 5)", nonNegativeInt)
    .option("--clip-norm <number>", "L2 norm over all trained tensors; 0: no clipping", nonNegative, 1)
    .option("--weight-decay <number>", "decoupled", nonNegative, 0)
    .option("--seed <number>", "everything random comes from it", nonNegativeInt, 0)
    .addOption(lossOn("response"))
}

function addEvaluation(train: Command): void {
  train
    .option("--eval-data <file...>", "held-out data, scored before, during and after")
    .option("--eval-split <share>", "hold out this share of --data instead, e.g. 0.05", share)
    .option("--eval-every <steps>", "steps between two scores (default: a fifth of all)", positiveInt)
    .option("--patience <scores>", "stop after so many scores that are no better than the best", positiveInt)
}
