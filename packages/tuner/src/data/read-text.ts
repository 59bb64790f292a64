import { createReadStream } from "node:fs"

import { LaminaError } from "@lamina/protocol/errors"

import { fileError, notUtf8 } from "../files/read-bounded.js"

/** The text of a UTF-8 file piece by piece, a byte order mark left out. FILE_UNREADABLE; DATA_MALFORMED. */
export async function* readTextChunks(path: string): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true })
  let before = 0
  let begun = new Uint8Array(0) // of a character that goes on in the next piece
  const decode = (bytes: Uint8Array, options: { stream: boolean }): string => {
    try {
      const text = decoder.decode(bytes, options)
      before += bytes.length
      begun = lastCharacter(bytes)
      return text
    } catch (cause) {
      const joined = Buffer.concat([begun, bytes])
      throw notUtf8({ bytes: joined, path, code: "DATA_MALFORMED", before: before - begun.length }, cause)
    }
  }
  try {
    for await (const bytes of createReadStream(path, { highWaterMark: 2 ** 18 }))
      yield decode(bytes as Uint8Array, { stream: true })
    yield decode(new Uint8Array(0), { stream: false })
  } catch (cause) {
    throw fileError(path, cause)
  }
}

/** What begins with the last byte that begins a character; nothing where that is more than 3 bytes before the end. */
function lastCharacter(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const end = bytes.slice(-3)
  const begin = end.findLastIndex((byte) => (byte & 0xc0) !== 0x80)
  return begin < 0 ? new Uint8Array(0) : end.slice(begin)
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
  let line = 1
  const advance = (end: number): void => {
    const passed = buffer.slice(0, end)
    for (let at = passed.indexOf("\n"); at >= 0; at = passed.indexOf("\n", at + 1)) line += 1
    buffer = buffer.slice(end)
  }
  let tryAt = PART_LENGTH
  for await (const chunk of readTextChunks(path)) {
    buffer += chunk
    while (between !== "") {
      const end = buffer.indexOf(between, searched)
      if (end < 0) break
      yield { text: buffer.slice(0, end) }
      advance(end + between.length)
      searched = 0
      tryAt = PART_LENGTH
    }
    if (buffer.length > tryAt) {
      const end = partEnd(buffer, buffer.length - between.length)
      if (end !== undefined) {
        yield { text: buffer.slice(0, end), continues: true }
        advance(end)
      }
      expectShort(buffer.length, path, line)
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
