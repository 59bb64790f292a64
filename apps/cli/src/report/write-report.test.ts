import { mkdtemp, readFile, readdir, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { roundOf, runOf, turnOf } from "./testing/reported-run.js"
import { writePictures } from "./pictures.js"
import { writeSimulationReport } from "./write-report.js"

let out: string
beforeEach(async () => {
  out = await mkdtemp(join(tmpdir(), "report-"))
})
afterEach(() => rm(out, { recursive: true }))

/** A page, in which no value was shown that is none. */
async function read(path: string): Promise<string> {
  const page = await readFile(path, "utf8")
  expect(page).not.toMatch(/\[object |undefined|NaN/)
  return page
}

test("two runs stand side by side in one page that loads nothing, with PNGs and event files beside it", async () => {
  const path = await writeSimulationReport(out, { name: "a & <b>", runs: [runOf("flora"), runOf("fed it")] })
  const page = await read(path)
  expect(page).not.toMatch(/<script|<link|<img|@import|url\((?!#)|(?:src|href)="(?!#)/)
  expect(page).toContain("<title>Lamina: a &#38; &#60;b&#62;</title>")
  expect(page).toContain("<th>flora</th><th>fed it</th>")
  expect(page).not.toContain("<coffee>") // a key of the data
  expect(page).not.toMatch(/NaN|undefined|Infinity/)
  const pictures = await readdir(join(out, "pictures"))
  const own = ["partition", "round-1", "coverage", "spectrum"].flatMap((what) => [`${what}-flora`, `${what}-fed-it`])
  const curves = ["loss", "accuracy"].flatMap((what) =>
    ["rounds", "bytes-moved", "virtual-time"].map((over) => `${what}-over-${over}`),
  )
  const shared = [...curves, "fairness"]
  expect(pictures.sort()).toEqual([...shared, ...own].map((name) => `${name}.png`).sort())
  for (const picture of pictures) {
    const bytes = await readFile(join(out, "pictures", picture))
    expect(bytes.subarray(1, 4).toString()).toBe("PNG")
    expect(bytes.readUInt32BE(16)).toBe(2 * 860)
  }
  expect(await readdir(join(out, "tensorboard"))).toEqual(["fed-it", "flora"])
})

test("the tables have the numbers of the rounds", async () => {
  const later = { startMs: 12_000, downloadedMs: 20_000, trainedMs: 40_000 }
  const second = [turnOf("a", { ...later, endMs: 60_000 }), turnOf("b", { ...later, endMs: 180_000 })]
  const rounds = [
    roundOf(1, { clients: [turnOf("a"), turnOf("b", { outcome: "late", endMs: 20_000 })] }),
    roundOf(2, { openedMs: 12_000, closedMs: 180_000, clients: second, strategyError: 0.25, heldOut: undefined }),
  ]
  const page = await read(await writeSimulationReport(out, { name: "r", runs: [runOf("r", { rounds })] }))
  const cells = (row: string): string[] =>
    [
      ...(page.match(new RegExp(`<tr><td[^>]*>${row}</td>.*?</tr>`))?.[0] ?? "").matchAll(/<td[^>]*>([^<]*)<\/td>/g),
    ].map((match) => match[1] ?? "")
  expect(cells("updates accepted")).toEqual(["updates accepted", "3"])
  expect(cells("updates late")).toEqual(["updates late", "1"])
  expect(cells("virtual time")).toEqual(["virtual time", "3.0 min"])
  expect(cells("sent by clients")).toEqual(["sent by clients", "4.0 MB"])
  expect(cells("largest error of the strategy")[1]).toBe("2.5e-1")
  // losses 1 and 3 of round 1: mean 2, deviation 1, quantiles 1.2, 2 and 2.8
  expect(cells("r")).toEqual(["r", "2", "2.000", "1.000", "1.000", "1.200", "2.000", "2.800", "3.000"])
  // updates came 48 s and 168 s after round 2 opened: half within 108 s, 90 % within 156 s
  expect(cells("2")).toEqual(["2", "2 of 2", "108.0 s", "2.6 min", "2.8 min", "2.5e-1", "1.0e-3", "16 to 8", "-", "-"])
  expect(cells("held-out accuracy at the end")).toEqual(["held-out accuracy at the end", "30.0 %"])
})

test("an abandoned round counts in bytes and ends, and in nothing that came of updates", async () => {
  const nothing = { strategyError: 0, compressionError: 0, stackedRank: 0, rank: 0, coverage: [], heldOut: undefined }
  const clients = [turnOf("a"), turnOf("b", { outcome: "dropped", endMs: 5_000 })]
  const rounds = [roundOf(1, { ...nothing, abandoned: true, clients }), roundOf(2, { openedMs: 12_000 })]
  const page = await read(await writeSimulationReport(out, { name: "r", runs: [runOf("r", { rounds })] }))
  const row = (...cells: (string | number)[]): RegExp =>
    new RegExp(cells.map((cell) => `<td[^>]*>${cell}</td>`).join(""))
  expect(page).toMatch(row("rounds closed", 1))
  expect(page).toMatch(row("rounds abandoned", 1))
  expect(page).toMatch(row("sent by clients", "4.0 MB")) // 2 MB in each round
  expect(page).toMatch(row("clients dropped", 1))
  expect(page).toMatch(row(1, "1 of 2", "10.0 s", "10.0 s", "12.0 s", "-", "-", "abandoned", "-"))
  expect(page).toMatch(row("a", "laptop", 8, "q8", 10, 100, 1)) // its update of round 1 counted in nothing
  expect(page).toContain(">abandoned</text>")
})

test("a round's picture says how each client ended, and counts many clients instead", async () => {
  const page = async (clients: number, ended: "dropped" | "accepted"): Promise<string> => {
    const turns = Array.from({ length: clients }, (_, i) => turnOf(`c${i}`, i === 0 ? { outcome: ended } : {}))
    const run = runOf("r", { rounds: [roundOf(1, { clients: turns })] })
    return read(await writeSimulationReport(out, { name: "r", runs: [run] }))
  }
  const few = await page(3, "dropped")
  for (const text of ["c0, laptop", "c2, laptop", ">dropped<", ">closed<"]) expect(few).toContain(text)
  expect(await page(3, "accepted")).not.toContain(">dropped<")
  const many = await page(41, "dropped")
  expect(many).toContain("how many of 41 clients had come how far")
  expect(many).not.toContain("c0, laptop")
})

test("a run that has nothing yet is a report too", async () => {
  const run = runOf("r", { rounds: [], spectrum: undefined, partition: undefined, clients: [] })
  const page = await read(await writeSimulationReport(out, { name: "r", runs: [run] }))
  expect(page).toContain("0 rounds")
  expect(page).not.toMatch(/NaN|undefined|Infinity/)
})

test("many clients and modules show no value that is none, and nothing answers to the pointer", async () => {
  const names = Array.from({ length: 41 }, (_, i) => `c${i}`)
  const partition = names.map((name) => ({ name, trainRows: 9, heldOutRows: 1, rowsByKey: { tea: 7, coffee: 3 } }))
  const spectrum = names.map((name, i) => ({ module: name, values: i === 0 ? [2, 1] : [3] }))
  const client = { device: "laptop", rank: 8, precision: "q8" }
  const clients = names.map((name) => ({ name, ...client }))
  const run = runOf("r", { partition, spectrum, clients })
  const page = await read(await writeSimulationReport(out, { name: "r", runs: [run] }))
  expect(page).not.toMatch(/:hover|cursor/)
  expect(page).toContain("over its 41 modules (0 beyond a module")
  expect(page).toContain('<td>q8</td><td class="number">41</td><td class="number">-</td>')
})

test("two runs of one name are refused", async () => {
  const twice = writeSimulationReport(out, { name: "r", runs: [runOf("a b"), runOf("a-b")] })
  await expect(twice).rejects.toMatchObject({ code: "RECIPE_INVALID" })
})

test("letters are drawn with Lamina's own font, bold ones from its bold file", async () => {
  const svgOf = (inside: string): string =>
    `<svg xmlns="http://www.w3.org/2000/svg" width="200" height="40" font-family="Inter" font-size="20">${inside}</svg>`
  const texts = [
    "",
    `<text y="20">loss</text>`,
    `<text y="20" font-weight="600">loss</text>`,
    `<text y="20">μ é ж</text>`,
  ]
  const paths = await writePictures(
    out,
    texts.map((text, i) => ({ name: `${i}`, svg: svgOf(text) })),
  )
  const drawn = await Promise.all(paths.map(async (path) => (await readFile(path)).toString("base64")))
  expect(new Set(drawn).size).toBe(4) // nothing drawn looks like the empty one, bold does not look like regular
})
