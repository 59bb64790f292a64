// node examples/e2e/prepare.mjs FILE.csv [OUT]: splits an E2E NLG file (columns mr, ref) by the kind of food into the
// clients of examples/e2e.yaml. Of every client's meaning representations, in the order of the file, one in four is
// held out, so that no representation is both trained on and scored. Columns: prompt, response.
import { readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const FOODS = { french: "French", japanese: "Japanese", "fast-food": "Fast food", italian: "Italian" }
const TRAIN_ROWS = 120
const HELD_OUT_ROWS = 40

const [file, out = dirname(fileURLToPath(import.meta.url))] = process.argv.slice(2)
if (file === undefined) {
  console.error("usage: node examples/e2e/prepare.mjs FILE.csv [OUT]")
  process.exit(2)
}

/** Records of an RFC 4180 file. */
function parseCsv(text) {
  const field = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/g
  const records = []
  let record = []
  for (const [, quoted, plain, end] of text.matchAll(field)) {
    record.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'))
    if (end === ",") continue
    if (record.length > 1 || record[0] !== "") records.push(record)
    record = []
  }
  return records
}

const quote = (value) => `"${value.replaceAll('"', '""')}"`
const write = (name, rows) =>
  writeFileSync(
    join(out, `${name}.csv`),
    ["prompt,response", ...rows.map((row) => row.map(quote).join(","))].join("\n") + "\n",
  )

const [header, ...rows] = parseCsv(readFileSync(file, "utf8"))
const [mr, ref] = ["mr", "ref"].map((name) => header.indexOf(name))
for (const [client, food] of Object.entries(FOODS)) {
  const mine = rows.filter((row) => row[mr].includes(`food[${food}]`))
  const meanings = [...new Set(mine.map((row) => row[mr]))]
  const heldOut = new Set(meanings.filter((_, i) => i % 4 === 3))
  // spread over all meanings: the n-th reference of each, then the next
  const spread = (wanted) => {
    const seen = new Map()
    const ranked = mine
      .filter((row) => heldOut.has(row[mr]) === wanted)
      .map((row) => {
        const turn = seen.get(row[mr]) ?? 0
        seen.set(row[mr], turn + 1)
        return [turn, row]
      })
    return ranked.sort((a, b) => a[0] - b[0]).map(([, row]) => [`${row[mr]}. In words: `, row[ref]])
  }
  write(client, spread(false).slice(0, TRAIN_ROWS))
  write(`${client}-held-out`, spread(true).slice(0, HELD_OUT_ROWS))
}
