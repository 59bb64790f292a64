import Table from "cli-table3"

/** A plain table for people: header, rows, numbers to the right. */
export function renderTable(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const numeric = head.map((_, column) => rows.every((row) => /^[-+]?[\d.,]+( ?%)?$/.test(String(row[column] ?? ""))))
  const table = new Table({
    head: [...head],
    style: { head: [], border: [], compact: true },
    colAligns: numeric.map((right) => (right ? "right" : "left")),
    chars: PLAIN,
  })
  for (const row of rows) table.push(row.map(String))
  return table.toString()
}

const PLAIN = {
  top: "",
  "top-mid": "",
  "top-left": "",
  "top-right": "",
  bottom: "",
  "bottom-mid": "",
  "bottom-left": "",
  "bottom-right": "",
  left: "",
  "left-mid": "",
  mid: "",
  "mid-mid": "",
  right: "",
  "right-mid": "",
  middle: " ",
}

/** 1234567 -> "1.2 MB": decimal units, one digit after the point. */
export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"]
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3))
  return power === 0 ? `${bytes} B` : `${(bytes / 1000 ** power).toFixed(1)} ${units[power]}`
}

/** 0.41257 -> "41.26 %". */
export function percent(share: number, digits = 2): string {
  return `${(100 * share).toFixed(digits)} %`
}
