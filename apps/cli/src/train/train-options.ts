import { readFile } from "node:fs/promises"
import { dirname, resolve } from "node:path"

import type { Precision } from "@lamina/kernels"
import { LaminaError } from "@lamina/protocol/errors"
import type { BasePrecision } from "@lamina/tuner"
import type { Command } from "commander"

import type { DataOptions } from "../data-options.js"
import { modelFrom } from "../model-path.js"
import type { BackendChoice } from "../pool.js"
import { parseYaml } from "../yaml-text.js"

/** What `lamina train` takes, as the command line and the `--config` file name it. */
export interface TrainOptions extends DataOptions {
  readonly data?: readonly string[]
  readonly out: string
  readonly fresh?: boolean
  readonly rank: number
  readonly alpha?: number
  readonly targetModules?: readonly string[]
  readonly rslora?: boolean
  readonly dropout: number
  readonly learningRate: number
  readonly schedule: "constant" | "linear" | "cosine"
  readonly warmupSteps?: number
  readonly steps?: number
  readonly epochs?: number
  readonly batch: number
  readonly context?: number
  readonly accumulate: number
  readonly clipNorm: number
  readonly weightDecay: number
  readonly seed: number
  readonly lossOn: "all" | "response"
  readonly precision: BasePrecision
  readonly compute: Precision
  readonly gradientCheckpointing?: boolean
  readonly threads?: number
  readonly backend: BackendChoice
  readonly evalData?: readonly string[]
  readonly evalSplit?: number
  readonly evalEvery?: number
  readonly patience?: number
  readonly saveEvery: number
  readonly config?: string
  readonly json?: boolean
}

/** Options whose values are paths. */
const PATHS: ReadonlySet<string> = new Set(["data", "evalData", "out"])

/** A model and the options of one training. */
export interface TrainRequest {
  readonly model: string
  readonly options: TrainOptions
}

/**
 * The command line over the `--config` file over the defaults. The file is YAML or JSON whose keys are the options'
 * names in camel case, and `model`; its paths are relative to its own folder. USAGE for a key or value that no option
 * has, FILE_UNREADABLE.
 */
export async function trainRequest(model: string | undefined, command: Command): Promise<TrainRequest> {
  const { config } = command.opts<TrainOptions>()
  const settings = config === undefined ? {} : await readConfig(config)
  const { model: named, ...options } = settings
  for (const [key, value] of Object.entries(options)) setOption(command, { key, value, config: config ?? "" })
  if (named !== undefined && (typeof named !== "string" || named === ""))
    throw new LaminaError("USAGE", `${config}: model: expected a path or org/repo, got ${JSON.stringify(named)}`)
  const chosen = model ?? (named === undefined ? undefined : await modelFrom(dirname(config ?? ""), named))
  if (chosen === undefined)
    throw new LaminaError("USAGE", "train: expected a model, got none", { hint: "lamina train --help" })
  return { model: chosen, options: command.opts<TrainOptions>() }
}

async function readConfig(path: string): Promise<Record<string, unknown>> {
  const text = await readFile(path, "utf8").catch((cause: Error) => {
    throw new LaminaError("FILE_UNREADABLE", `${path}: ${cause.message}`, { cause })
  })
  const settings = parseYaml(text, { path, code: "USAGE" })
  if (typeof settings === "object" && settings !== null && !Array.isArray(settings))
    return settings as Record<string, unknown>
  throw new LaminaError("USAGE", `${path}: expected keys and values, got something else`)
}

/** Sets what the command line has not: parsed by the option's own rule, so that both ways allow the same. */
function setOption(command: Command, given: { key: string; value: unknown; config: string }): void {
  const { key, value, config } = given
  const options = command.options.filter((each) => each.attributeName() === key && each.long !== "--config")
  const option = options.find((each) => !each.negate) ?? options[0]
  const wrong = (expected: string): LaminaError =>
    new LaminaError("USAGE", `${config}: ${key}: expected ${expected}, got ${JSON.stringify(value)}`)
  if (option === undefined) {
    const known = [...new Set(command.options.map((each) => each.attributeName()))].sort().join(", ")
    throw new LaminaError("USAGE", `${config}: expected the keys model, ${known}, got ${JSON.stringify(key)}`)
  }
  if (command.getOptionValueSource(key) === "cli") return
  if (option.isBoolean() || option.negate) {
    if (typeof value !== "boolean") throw wrong("true or false")
    return void command.setOptionValueWithSource(key, value, "config")
  }
  const values: unknown[] = Array.isArray(value) ? value : [value]
  if (!values.every((each) => ["string", "number"].includes(typeof each)) || (values.length > 1 && !option.variadic))
    throw wrong(option.variadic ? "text or a list of texts" : "text or a number")
  const text = (each: unknown): string => (PATHS.has(key) ? resolve(dirname(config), String(each)) : String(each))
  try {
    const parsed = values.map((each) => (option.parseArg ? option.parseArg(text(each), undefined) : text(each)))
    command.setOptionValueWithSource(key, option.variadic ? parsed.flat() : parsed[0], "config")
  } catch (cause) {
    throw new LaminaError("USAGE", `${config}: ${key}: ${(cause as Error).message}`)
  }
}
