import { createInterface } from "node:readline"

import { openConversation } from "../chat/conversation.js"
import type { Conversation } from "../chat/conversation.js"
import { openModel } from "../open-model.js"
import type { ModelOptions } from "../open-model.js"
import { printError } from "../output/failure.js"
import { samplingOf } from "../sampling.js"
import type { SamplingOptions } from "../sampling.js"

interface ChatOptions extends ModelOptions, SamplingOptions {
  readonly system?: string
}

const HELP = "/reset forgets what was said, /system TEXT gives an instruction, /exit ends"

/**
 * `lamina chat`: questions from stdin, one a line, answers to stdout as they come. Ctrl-C stops the answer that is
 * being given and not the program; /exit or the end of stdin ends it. In a pipe a failure ends it too.
 */
export async function chat(path: string, options: ChatOptions): Promise<void> {
  const model = await openModel(path, options)
  try {
    const conversation = await openConversation(model, { ...options, sampling: samplingOf(options) })
    await converse(conversation)
  } finally {
    await model.pool.close()
  }
}

async function converse(conversation: Conversation): Promise<void> {
  const terminal = process.stdin.isTTY === true && process.stdout.isTTY === true
  const output = terminal ? { output: process.stdout } : {}
  const lines = createInterface({ input: process.stdin, ...output, terminal, prompt: "> " })
  let answering: AbortController | undefined
  const interrupt = (): void => {
    if (answering) answering.abort()
    else if (terminal) note(HELP)
    else lines.close()
    if (terminal && !answering) lines.prompt()
  }
  lines.on("SIGINT", interrupt)
  process.on("SIGINT", interrupt)
  try {
    if (terminal) note(HELP)
    lines.prompt()
    for await (const line of lines) {
      if (["exit", "quit"].includes(commandOf(line)?.name ?? "")) break
      answering = new AbortController()
      await respond(conversation, line, { signal: answering.signal, terminal })
      answering = undefined
      lines.prompt()
    }
  } finally {
    process.off("SIGINT", interrupt)
    lines.close()
  }
}

/** One line of the user: a command, a question, or nothing. */
async function respond(
  conversation: Conversation,
  line: string,
  { signal, terminal }: { signal: AbortSignal; terminal: boolean },
): Promise<void> {
  if (line.trim() === "") return
  const command = commandOf(line)
  if (command?.name === "reset") return conversation.reset()
  if (command?.name === "system") return conversation.instruct(command.text)
  try {
    const onText = (piece: string): void => void process.stdout.write(piece)
    const forgotten = await conversation.ask(line, { signal, onText })
    process.stdout.write(signal.aborted && terminal ? " (stopped)\n" : "\n")
    if (forgotten > 0) note(`(the oldest ${forgotten} exchanges no longer fit the context and are forgotten)`)
  } catch (error) {
    if (!terminal) throw error
    printError(error, process.stderr)
  }
}

/** A question may begin with a slash as well: only the known words are commands. */
function commandOf(line: string): { readonly name: string; readonly text: string } | undefined {
  const { name, text = "" } = /^\/(?<name>reset|system|exit|quit)(?:\s+(?<text>.*))?$/.exec(line)?.groups ?? {}
  return name === undefined ? undefined : { name, text }
}

function note(text: string): void {
  process.stderr.write(`${text}\n`)
}
