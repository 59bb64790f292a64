import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"

import { root } from "./lamina-process.js"

/** The first `each` rows of examples/e2e for every kind of food as `rows.jsonl` in this folder: { food, text }. */
export function writeFoodRows(folder: string, each: number): void {
  const rows = ["french", "italian", "japanese", "fast-food"].flatMap((food) =>
    readFileSync(join(root, `examples/e2e/${food}.csv`), "utf8")
      .trim()
      .split("\n")
      .slice(1, each + 1)
      .map((text) => JSON.stringify({ food, text })),
  )
  writeFileSync(join(folder, "rows.jsonl"), `${rows.join("\n")}\n`)
}
