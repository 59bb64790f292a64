import { DARK_STYLE } from "./colors.js"

/** Escapes text for HTML; every value of a report that came from outside passes here. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`)
}

/** Rows as an HTML table; columns of numbers are set to the right. */
export function htmlTable(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const numeric = head.map((_, column) => rows.every((row) => /^[-+]?\d|^-?$/.test(String(row[column] ?? ""))))
  const cell = (tag: "th" | "td", value: string | number, column: number): string =>
    `<${tag}${numeric[column] ? ' class="number"' : ""}>${escapeHtml(String(value))}</${tag}>`
  const line = (tag: "th" | "td", row: readonly (string | number)[]): string =>
    `<tr>${row.map((value, column) => cell(tag, value, column)).join("")}</tr>`
  const body = rows.map((row) => line("td", row)).join("")
  return `<table><thead>${line("th", head)}</thead><tbody>${body}</tbody></table>`
}

export interface ReportSection {
  readonly title: string
  /** Trusted HTML: made by htmlTable, lineChart or escapeHtml. */
  readonly html: string
}

/** One self-contained page: no script, no font, no picture from elsewhere. */
export function htmlPage(title: string, intro: string, sections: readonly ReportSection[]): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title><style>${STYLE}</style></head><body><main>
<h1>${escapeHtml(title)}</h1><p>${escapeHtml(intro)}</p>
${sections.map((section) => `<section><h2>${escapeHtml(section.title)}</h2>${section.html}</section>`).join("\n")}
</main></body></html>
`
}

const STYLE = `
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; margin: 0 }
main { max-width: 900px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.15rem; margin-top: 2rem }
figure { margin: 1rem 0 } .wide { overflow-x: auto; margin: 1rem 0 }
table { border-collapse: collapse; width: 100%; font-size: .9rem }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #ddd; text-align: left }
.wide td { white-space: nowrap }
th.number, td.number { text-align: right; font-variant-numeric: tabular-nums } svg { max-width: 100%; height: auto }
${DARK_STYLE}
`
