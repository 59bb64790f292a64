import { readFile, rm, writeFile } from "node:fs/promises"
import { join, resolve } from "node:path"

import { LaminaError } from "@lamina/protocol/errors"

import { makeFolder } from "../output/folder.js"
import { TrainHistory } from "./train-history.js"
import type { TrainRequest } from "./train-options.js"

/** What `lamina train` leaves in its `--out` folder. */
export interface TrainFolder {
  readonly adapter: string
  readonly report: string
  readonly metrics: string
  readonly checkpoint: string
  readonly history: TrainHistory
}

/** Options that change no figure: they may differ when a training goes on. */
const FREE = new Set(["out", "fresh", "threads", "json", "config", "saveEvery", "evalEvery", "patience", "backend"])

/** What a training was set to, for its folder and its report: model and options that change its figures. */
export function settingsOf({ model, options }: TrainRequest): Record<string, unknown> {
  const given = Object.entries(options).filter(([key, value]) => !FREE.has(key) && value !== undefined)
  return { model, ...Object.fromEntries(given.map(([key, value]) => [key, pathsOf(key, value)])) }
}

/**
 * Opens the folder of a training: what is there goes on, unless `fresh`. CHECKPOINT_MISMATCH when it holds a training
 * that was set otherwise; FILE_UNWRITABLE, FILE_UNREADABLE.
 */
export async function openTrainFolder(request: TrainRequest): Promise<TrainFolder> {
  const { out, fresh } = request.options
  const at = (name: string): string => join(out, name)
  await makeFolder(out)
  if (fresh)
    for (const name of ["adapter", "report.html", "metrics.jsonl", "checkpoint", "settings.json", "result.json"])
      await rm(at(name), { recursive: true, force: true })
  await expectSame(at("settings.json"), settingsOf(request))
  return {
    ...{
      adapter: at("adapter"),
      report: at("report.html"),
      metrics: at("metrics.jsonl"),
      checkpoint: at("checkpoint"),
    },
    history: new TrainHistory(at("metrics.jsonl")),
  }
}

async function expectSame(path: string, settings: Record<string, unknown>): Promise<void> {
  const text = await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT") return undefined
    throw new LaminaError("FILE_UNREADABLE", `${path}: ${cause.message}`, { cause })
  })
  if (text === undefined) return writeFile(path, `${JSON.stringify(settings, undefined, 2)}\n`)
  const before = parsed(text)
  const keys = new Set([...Object.keys(settings), ...Object.keys(before)])
  const differing = [...keys].filter((key) => JSON.stringify(settings[key]) !== JSON.stringify(before[key]))
  if (differing.length === 0) return
  const show = (value: unknown): string => JSON.stringify(value) ?? "nothing"
  const listed = differing.map((key) => `${key}: ${show(before[key])} there, ${show(settings[key])} asked for`)
  throw new LaminaError("CHECKPOINT_MISMATCH", `${path}: another training is there\n${listed.join("\n")}`, {
    hint: "--fresh starts over and removes it; another --out keeps it",
  })
}

function parsed(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {} // differs from anything asked for, which is what is said then
  }
}

function pathsOf(key: string, value: unknown): unknown {
  return key === "data" || key === "evalData" ? (value as readonly string[]).map((path) => resolve(path)) : value
}
