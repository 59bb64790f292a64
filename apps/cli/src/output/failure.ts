import { CommanderError } from "commander"

import { hasErrorCode } from "@lamina/protocol/errors"

const USAGE_CODES = new Set(["USAGE", "RECIPE_INVALID"])
/** Commands that go on where they were when they are run again. */
const RESUMING = /^(simulate|demo|serve|join|train|model pull)( |$)/

/** 0 for help and version, 2 for a command line or recipe that is wrong, 1 for everything else. */
export function exitCodeOf(error: unknown): 0 | 1 | 2 {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  if (hasErrorCode(error) && USAGE_CODES.has(error.code)) return 2
  return 1
}

/**
 * One `lamina: error:` line, the message's further lines indented below it, then the hint; a bug is printed with its
 * stack. `words` are those of the command line, the command first.
 */
export function printError(error: unknown, stream: NodeJS.WritableStream, words: readonly string[] = []): void {
  if (error instanceof CommanderError) return // commander has printed it
  if (isAbort(error)) {
    const resumes = RESUMING.test(words.join(" "))
    stream.write(`lamina: stopped${resumes ? "; the same command goes on where it was" : ""}\n`)
    return
  }
  if (!hasErrorCode(error)) {
    stream.write(`lamina: error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
    return
  }
  const [first = "", ...others] = error.message.split("\n").filter((line) => line.trim() !== "")
  stream.write(`lamina: error: ${first} [${error.code}]\n`)
  for (const line of others) stream.write(`  ${line}\n`)
  if (error.hint !== undefined) stream.write(`lamina: hint: ${error.hint}\n`)
}

/** True for the rejection of an AbortSignal: somebody pressed Ctrl-C. */
function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError"
}
