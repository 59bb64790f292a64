import { basename, resolve } from "node:path"

import { aggregateAdapters } from "@lamina/aggregation"
import type { StrategyName } from "@lamina/protocol"
import { LaminaError } from "@lamina/protocol/errors"
import { peftBaseName, readPeftAdapter, writePeftAdapter } from "@lamina/tuner"

import { printJson } from "../output/json.js"
import { renderTable } from "../output/table.js"

interface AggregateOptions {
  readonly strategy: StrategyName
  readonly weights?: readonly number[]
  readonly out: string
  readonly base?: string
  readonly json?: boolean
}

/**
 * `lamina aggregate`: one first round of a strategy over PEFT folders, whose target is dW* = sum p_k s_k B_k A_k with
 * p_k = weight / sum; prints per module the rank, the error against it and who has it.
 */
export async function aggregateCommand(folders: readonly string[], options: AggregateOptions): Promise<void> {
  const weights = options.weights ?? folders.map(() => 1)
  if (weights.length !== folders.length)
    throw new LaminaError(
      "USAGE",
      `--weights: expected ${folders.length} numbers, one per adapter, got ${weights.length}`,
    )
  if (weights.every((weight) => weight === 0))
    throw new LaminaError("USAGE", "--weights: expected at least one above 0")
  const adapters = await Promise.all(folders.map((folder) => readPeftAdapter(folder)))
  const inputs = adapters.map((adapter, i) => ({
    name: `${i}:${basename(folders[i] ?? "")}`,
    weight: weights[i] ?? 0,
    adapter,
  }))
  const { global, errors, coverage } = aggregateAdapters(options.strategy, inputs)
  const out = resolve(options.out)
  await writePeftAdapter(out, global, { baseName: options.base ?? (await sharedBaseName(folders)) })
  const ranks = new Map(global.modules.map(({ name, rank }) => [name, rank]))
  const covered = new Map(coverage.map((each) => [each.module, each]))
  const modules = errors.map(({ module, relativeError }) => {
    const { clients = 0, share = 0 } = covered.get(module) ?? {}
    return { module, rank: ranks.get(module) ?? 0, relativeError, adapters: clients, share }
  })
  if (options.json) return printJson({ strategy: options.strategy, adapter: out, modules })
  const rows = modules.map(({ module, rank, relativeError, adapters: count, share }) => {
    return [module, rank, relativeError.toExponential(2), `${count} of ${folders.length}`, share.toFixed(2)]
  })
  const heads = ["module", "rank", "relative error", "adapters", "share"]
  process.stdout.write(`${renderTable(heads, rows)}\nadapter  ${out}\n`)
}

/** The first name that the adapters give their base; says so where they give several. */
async function sharedBaseName(folders: readonly string[]): Promise<string> {
  const names = [...new Set(await Promise.all(folders.map((folder) => peftBaseName(folder))))].filter(Boolean)
  const [first = ""] = names
  if (names.length > 1)
    process.stderr.write(`the adapters name the bases ${names.join(", ")}; written is ${first}, or what --base says\n`)
  return first
}
