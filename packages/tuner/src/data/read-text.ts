import { createReadStream } from "node:fs"

import { LaminaError } from "@lamina/protocol/errors"

import { fileError } from "../files/read-bounded.js"

/** The text of a UTF-8 file piece by piece, a byte order mark left out. FILE_UNREADABLE; DATA_MALFORMED. */
export async function* readTextChunks(path: string): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true })
  const decode = (bytes?: Uint8Array): string => {
    try {
      return bytes === undefined ? decoder.decode() : decoder.decode(bytes, { stream: true })
    } catch (cause) {
      throw new LaminaError("DATA_MALFORMED", `${path}: expected UTF-8 text`, { cause })
    }
  }
  try {
    for await (const bytes of createReadStream(path, { highWaterMark: 2 ** 18 })) yield decode(bytes as Uint8Array)
    yield decode()
  } catch (cause) {
    throw fileError(path, cause)
  }
}

/** Characters of one line or record at most: longer ones are another kind of file. */
const LINE_LENGTH_MAX = 2 ** 26

/** A line without its line end, and its number from 1. */
export interface Line {
  readonly line: number
  readonly text: string
}

/** Lines that end in LF (a CR before it stays); what stands behind the last one is a line where it is not empty. */
export async function* readLines(path: string): AsyncGenerator<Line> {
  let line = 1
  let rest: string[] = []
  let length = 0
  for await (const chunk of readTextChunks(path)) {
    let start = 0
    for (let end = chunk.indexOf("\n"); end >= 0; end = chunk.indexOf("\n", start)) {
      const text = rest.length === 0 ? chunk.slice(start, end) : rest.join("") + chunk.slice(start, end)
      if (rest.length > 0) rest = []
      length = 0
      yield { line, text }
      line += 1
      start = end + 1
    }
    if (start === chunk.length) continue
    rest.push(chunk.slice(start))
    length += chunk.length - start
    expectShort(length, path, line)
  }
  if (length > 0) yield { line, text: rest.join("") }
}

/** DATA_MALFORMED when a line or record of `path` that begins on `line` is longer than any real one. */
export function expectShort(length: number, path: string, line: number): void {
  if (length > LINE_LENGTH_MAX)
    throw new LaminaError("DATA_MALFORMED", `${path}:${line}: expected at most ${LINE_LENGTH_MAX} characters, got more`)
}

/** Longer texts come in parts of about this many characters. */
const PART_LENGTH = 2 ** 22

/**
 * The documents of a text file, split at `separator`; a long one in parts, all but the last marked `continues`. A part
 * ends behind a line end that a letter follows, or between a letter and a space that a letter follows: byte-level BPE
 * tokenizers part words there too, so that no token changes.
 */
export async function* readTexts(
  path: string,
  separator: string | undefined,
): AsyncGenerator<{ text: string; continues?: true }> {
  const between = separator ?? ""
  let buffer = ""
  let searched = 0
  let tryAt = PART_LENGTH
  for await (const chunk of readTextChunks(path)) {
    buffer += chunk
    while (between !== "") {
      const end = buffer.indexOf(between, searched)
      if (end < 0) break
      yield { text: buffer.slice(0, end) }
      buffer = buffer.slice(end + between.length)
      searched = 0
      tryAt = PART_LENGTH
    }
    if (buffer.length > tryAt) {
      const end = partEnd(buffer, buffer.length - between.length)
      if (end !== undefined) {
        yield { text: buffer.slice(0, end), continues: true }
        buffer = buffer.slice(end)
      }
      expectShort(buffer.length, path, 1)
      tryAt = Math.max(PART_LENGTH, 2 * buffer.length) // so that what has no end is not searched again and again
    }
    searched = Math.max(0, buffer.length - between.length)
  }
  yield { text: buffer }
}

/** The last place up to `limit` where a text may be parted; undefined where there is none. */
function partEnd(text: string, limit: number): number | undefined {
  const letter = (at: number): boolean => /^\p{L}/u.test(String.fromCodePoint(text.codePointAt(at) ?? 0))
  for (let at = text.lastIndexOf("\n", limit - 2); at > 0; at = text.lastIndexOf("\n", at - 1))
    if (letter(at + 1)) return at + 1
  for (let at = text.lastIndexOf(" ", limit - 2); at > 0; at = text.lastIndexOf(" ", at - 1))
    if (letter(at - 1) && letter(at + 1)) return at
  return undefined
}
