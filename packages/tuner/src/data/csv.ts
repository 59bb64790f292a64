import { showJson } from "../files/json.js"

/** One record and the line it begins on, from 1. */
interface CsvRecord {
  readonly line: number
  readonly fields: readonly string[]
}

/** What is wrong with a CSV text, and on which line. */
interface CsvFault {
  readonly line: number
  readonly message: string
}

/**
 * Records of comma-separated values as RFC 4180 has them: CRLF, LF or CR ends a record, quoted fields may hold commas,
 * line ends and doubled quotes. Empty lines are left out. A quote inside an unquoted field, text after a closing quote
 * or a quote never closed is a fault. Lines count from `firstLine`.
 */
export function parseCsv(text: string, firstLine = 1): CsvRecord[] | CsvFault {
  const records: CsvRecord[] = []
  let fields: string[] = []
  let line = firstLine
  let begin = firstLine
  let at = 0
  while (at < text.length) {
    const field = readField(text, at)
    if (typeof field === "string")
      return { line, message: `expected comma-separated values as in RFC 4180, got ${field}` }
    fields.push(field.value)
    line += field.value.match(/\r\n|\r|\n/g)?.length ?? 0
    at = field.end
    if (text[at] === ",") {
      at += 1
      if (at < text.length) continue
      fields.push("") // the text ends with a comma: one more field, empty
    }
    if (fields.length > 1 || fields[0] !== "") records.push({ line: begin, fields })
    if (at < text.length) {
      at += text.startsWith("\r\n", at) ? 2 : 1
      line += 1
    }
    fields = []
    begin = line
  }
  return records
}

/** What is wrong with a header: of two columns of one name a row would have one. */
export function headerFault(names: readonly string[]): string | undefined {
  const seen = new Set<string>()
  const repeated = names.find((name) => seen.size === seen.add(name).size)
  return repeated === undefined ? undefined : `expected every column name once, got ${showJson(repeated)} twice`
}

/** The field at `at` and where the comma, line end or end of text behind it is; a string says what is wrong. */
function readField(text: string, at: number): { value: string; end: number } | string {
  if (text[at] !== '"') {
    const delimiter = /[",\r\n]/g
    delimiter.lastIndex = at
    const end = delimiter.exec(text)?.index ?? text.length
    return text[end] === '"' ? "a quote inside an unquoted field" : { value: text.slice(at, end), end }
  }
  let close = text.indexOf('"', at + 1)
  while (close >= 0 && text[close + 1] === '"') close = text.indexOf('"', close + 2)
  if (close < 0) return "a quote that is never closed"
  const end = close + 1
  if (end < text.length && !",\r\n".includes(text[end] as string)) return "text behind a closing quote"
  return { value: text.slice(at + 1, close).replaceAll('""', '"'), end }
}
