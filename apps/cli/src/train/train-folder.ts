import { existsSync } from "node:fs"
import { readFile, rm } from "node:fs/promises"
import { join, resolve } from "node:path"

import { LaminaError } from "@lamina/protocol/errors"

import { modelIdentity } from "../model-path.js"
import { writeText } from "../output/files.js"
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
const FREE = new Set([
  ...["out", "fresh", "threads", "json", "config", "saveEvery", "evalEvery", "patience", "backend"],
  "gradientCheckpointing",
])

/** What a training is set to: model and options that change its figures, paths absolute. */
type TrainSettings = Readonly<Record<string, unknown>>

/** The settings of a request, for its folder and its report. FILE_UNREADABLE. */
export async function settingsOf({ model, options }: TrainRequest): Promise<TrainSettings> {
  const given = Object.entries(options).filter(([key, value]) => !FREE.has(key) && value !== undefined)
  const entries = given.map(([key, value]) => [key, pathsOf(key, value)] as const)
  return { model: await modelIdentity(model), ...Object.fromEntries(entries) }
}

/**
 * Looks whether a training may go on in the folder, and changes nothing: CHECKPOINT_MISMATCH when it holds the
 * beginning of one that was set otherwise, unless `fresh`. FILE_UNREADABLE.
 */
export async function expectSameTraining(
  { out, fresh }: Pick<TrainRequest["options"], "out" | "fresh">,
  settings: TrainSettings,
): Promise<void> {
  const begun = ["metrics.jsonl", "checkpoint"].some((name) => existsSync(join(out, name)))
  if (begun && !fresh) await expectSame(join(out, "settings.json"), settings)
}

/**
 * Opens the folder for a training that is about to start: `fresh` removes the one that is there, else that goes on.
 * FILE_UNWRITABLE, FILE_UNREADABLE.
 */
export async function openTrainFolder(
  { out, fresh }: Pick<TrainRequest["options"], "out" | "fresh">,
  settings: TrainSettings,
): Promise<TrainFolder> {
  const at = (name: string): string => join(out, name)
  await makeFolder(out)
  try {
    if (fresh)
      for (const name of ["adapter", "report.html", "metrics.jsonl", "checkpoint", "settings.json", "result.json"])
        await rm(at(name), { recursive: true, force: true })
    await writeText(at("settings.json"), `${JSON.stringify(settings, undefined, 2)}\n`)
  } catch (cause) {
    throw new LaminaError("FILE_UNWRITABLE", `${out}: ${(cause as Error).message}`, { cause })
  }
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

async function expectSame(path: string, settings: TrainSettings): Promise<void> {
  const text = await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT") return undefined
    throw new LaminaError("FILE_UNREADABLE", `${path}: ${cause.message}`, { cause })
  })
  if (text === undefined) return // the checkpoint knows its job
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
