import { inspectModel } from "@lamina/tuner"
import type { ModelReport } from "@lamina/tuner"

import { modelPath } from "../../model-path.js"
import { counted } from "../../output/counted.js"
import { printJson } from "../../output/json.js"
import { formatBytes, renderTable } from "../../output/table.js"

interface InspectOptions {
  readonly rank: number
  readonly tokens: number
  readonly tensors?: boolean
  readonly json?: boolean
}

/** `lamina model inspect`: what a model is, and what it takes to hold and to train it. Reads no weights. */
export async function inspectCommand(model: string, options: InspectOptions): Promise<void> {
  const report = await inspectModel(await modelPath(model), { rank: options.rank, tokens: options.tokens })
  if (options.json) return printJson(report)
  const sections = [about(report), memory(report), metadata(report), tensors(report, options.tensors === true)]
  process.stdout.write(`${sections.filter((section) => section !== "").join("\n\n")}\n`)
}

function about(report: ModelReport): string {
  const { config, problem, tokens, chatTemplate } = report
  const shape = config === undefined ? "" : `, ${counted(config.layers, "layer")} of width ${config.hidden}`
  const lines = [
    ["model", report.path],
    ["kind", report.kind],
    ["architecture", `${report.architecture}${shape}`],
    ...(problem === undefined ? [] : [["not usable", problem]]),
    ["parameters", shownCount(report.parameters)],
    ["weights", `${formatBytes(report.bytes)}: ${dtypes(report)}`],
    ...(config === undefined ? [] : [["context", `${config.context} tokens`]]),
    ["tokenizer", tokens === undefined ? "none" : `${tokens} tokens`],
    ["chat template", chatTemplate ? "yes" : "no"],
  ]
  return lines.map(([key = "", value]) => `${key.padEnd(14)} ${value}`).join("\n")
}

/** "211 F32, 2 Q6_K": tensors by their type, the most frequent first. */
function dtypes({ tensors: all }: ModelReport): string {
  const counts = new Map<string, number>()
  for (const { dtype } of all) counts.set(dtype, (counts.get(dtype) ?? 0) + 1)
  const sorted = [...counts].sort(([, left], [, right]) => right - left)
  return sorted.map(([dtype, count]) => `${count} ${dtype}`).join(", ")
}

function memory({ memory: need }: ModelReport): string {
  if (need === undefined) return ""
  const hold = Object.entries(need.hold).map(([precision, bytes]) => [precision, formatBytes(bytes)])
  const { rank, tokens, parameters, adapter, activations } = need.train
  return [
    renderTable(["held as", "memory"], hold),
    "",
    `training adds  ${formatBytes(adapter)} for ${shownCount(parameters)} numbers of rank ${rank} on every linear`,
    `               ${formatBytes(activations)} for the activations of ${tokens} tokens`,
  ].join("\n")
}

function metadata({ metadata: entries }: ModelReport): string {
  return entries.length === 0 ? "" : renderTable(["metadata", "value"], entries)
}

function tensors({ tensors: all }: ModelReport, listed: boolean): string {
  if (!listed) return `${counted(all.length, "tensor")}; --tensors lists them`
  const rows = all.map(({ name, dtype, shape, bytes }) => [name, dtype, shape.join(" x "), formatBytes(bytes)])
  return renderTable(["tensor", "type", "shape", "size"], rows)
}

/** 134515008 -> "134.5 M" */
function shownCount(count: number): string {
  const units = ["", "k", "M", "G", "T"]
  const power = count < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(count) / 3))
  return power === 0 ? String(count) : `${(count / 1000 ** power).toFixed(1)} ${units[power]}`
}
