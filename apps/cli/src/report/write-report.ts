import { join } from "node:path"

import { LaminaError } from "@lamina/protocol/errors"

import { counted } from "../output/counted.js"
import { writeText } from "../output/files.js"
import { makeFolder } from "../output/folder.js"
import { clientTable } from "./client-table.js"
import { coveragePicture } from "./coverage-chart.js"
import { heldOutCurves } from "./curves.js"
import { writeEventLogs } from "./event-log.js"
import { fairnessPicture, fairnessTable } from "./fairness.js"
import { fileName } from "./file-name.js"
import { escapeHtml, htmlPage } from "./html.js"
import type { ReportSection } from "./html.js"
import { partitionPicture } from "./partition-chart.js"
import { writePictures } from "./pictures.js"
import type { Picture } from "./pictures.js"
import { roundTable } from "./round-table.js"
import { closedRounds, runTable } from "./run-table.js"
import type { ReportedRun, SimulationReport } from "./simulation-report.js"
import { spectrumPicture } from "./spectrum-chart.js"
import { timelinePictures } from "./timeline.js"

/**
 * Writes `<out>/report.html`, one page that needs nothing else, its pictures as `<out>/pictures/*.png`, and the numbers
 * of its rounds for TensorBoard in `<out>/tensorboard/<run>`. Runs stand side by side. Returns the page's path.
 * RECIPE_INVALID for two runs of one name, FILE_UNWRITABLE, STORAGE_FULL.
 */
export async function writeSimulationReport(out: string, report: SimulationReport): Promise<string> {
  expectUnlikeNames(report.runs)
  const parts = [...comparison(report.runs), ...report.runs.flatMap((run) => runParts(run, report.runs.length > 1))]
  const shown = parts.filter(({ pictures, tables }) => pictures.length + tables.length > 0)
  await makeFolder(out)
  await writePictures(
    join(out, "pictures"),
    shown.flatMap(({ pictures }) => pictures),
  )
  await writeEventLogs(join(out, "tensorboard"), report.runs)
  const path = join(out, "report.html")
  await writeText(path, htmlPage(`Lamina: ${report.name}`, introduction(report), shown.map(sectionOf)))
  return path
}

/** Their pictures and event files would be each other's. */
function expectUnlikeNames(runs: readonly ReportedRun[]): void {
  const names = runs.map(({ name }) => fileName(name))
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice !== undefined)
    throw new LaminaError("RECIPE_INVALID", `report: expected runs of unlike names, got "${twice}" twice`)
}

interface Part {
  readonly title: string
  readonly note?: string
  readonly pictures: readonly Picture[]
  readonly tables: readonly string[]
}

/** What shows all runs at once. */
function comparison(runs: readonly ReportedRun[]): Part[] {
  const fairness = fairnessPicture(runs)
  return [
    { title: runs.length === 1 ? "The run" : "The runs", pictures: [], tables: [runTable(runs)] },
    { title: "Held-out scores", pictures: heldOutCurves(runs), tables: [] },
    fairness === undefined
      ? { title: "Fairness", pictures: [], tables: [] }
      : {
          title: "Fairness",
          note: "The held-out loss of every scored client after the last scored round; each client counts the same.",
          pictures: [fairness],
          tables: [fairnessTable(runs)],
        },
  ]
}

/** What is one run's own. */
function runParts(run: ReportedRun, oneOfMany: boolean): Part[] {
  const title = (text: string): string => (oneOfMany ? `${run.name}: ${text}` : capital(text))
  const present = (pictures: readonly (Picture | undefined)[]): Picture[] => pictures.filter((p) => p !== undefined)
  const coverage = coveragePicture(run)
  const covered = run.rounds.some((round) => round.coverage.length > 0)
  return [
    {
      title: title("who holds what"),
      pictures: run.partition === undefined ? [] : [partitionPicture(run.partition, run.name)],
      tables: [],
    },
    {
      title: title("rounds"),
      pictures: timelinePictures(run),
      tables: run.rounds.length === 0 ? [] : [roundTable(run)],
    },
    {
      title: title("what was trained"),
      ...(covered && coverage === undefined ? { note: "Every client of every round trained every module." } : {}),
      pictures: present([coverage, spectrumPicture(run)]),
      tables: [],
    },
    { title: title("clients"), pictures: [], tables: [clientTable(run)] },
  ]
}

function sectionOf({ title, note, pictures, tables }: Part): ReportSection {
  const figures = pictures.map(({ svg }) => `<figure>${svg}</figure>`)
  const wide = tables.map((table) => `<div class="wide">${table}</div>`)
  const text = note === undefined ? [] : [`<p>${escapeHtml(note)}</p>`]
  return { title, html: [...text, ...figures, ...wide].join("\n") }
}

function introduction({ runs }: SimulationReport): string {
  const what = runs.map(({ name, strategy, clients, rounds }) => {
    const closed = closedRounds(rounds).length
    return `${name}: ${strategy}, ${counted(clients.length, "client")}, ${counted(closed, "round")}.`
  })
  const units = "Losses are natural logarithms, means over predicted tokens; times are those of the virtual clock."
  return `${what.join(" ")} ${units}`
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
