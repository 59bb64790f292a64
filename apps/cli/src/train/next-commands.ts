import type { TrainRequest } from "./train-options.js"

/** What a training leads to, as command lines that read data and model as the training did. */
export function nextCommands({ model, options }: TrainRequest, adapter: string): string[] {
  const { context, precision, lossOn, chatTemplate, evalData } = options
  const tuned = [model, "--adapter", adapter]
  const same = [
    ...(context === undefined ? [] : ["--context", String(context)]),
    ...(precision === "stored" ? [] : ["--precision", precision]),
  ]
  const data = [
    ...given("--prompt-field", options.promptField),
    ...given("--response-field", options.responseField),
    ...given("--text-field", options.textField),
    ...given("--messages-field", options.messagesField),
    ...given("--separator", options.separator),
    ...(chatTemplate === undefined ? [] : [chatTemplate ? "--chat-template" : "--no-chat-template"]),
  ]
  const judged = ["--data", evalData?.[0] ?? "HELD_OUT_FILE", "--loss-on", lossOn]
  const asked = [...(chatTemplate === true ? ["--chat"] : []), "--prompt", "..."]
  return [
    commandLine("eval", ...tuned, ...judged, ...data, ...same),
    commandLine("generate", ...tuned, ...same, ...asked),
  ]
}

function given(option: string, value: string | undefined): string[] {
  return value === undefined ? [] : [option, value]
}

function commandLine(...words: readonly string[]): string {
  return ["lamina", ...words.map(shellWord)].join(" ")
}

/** As it is where a shell takes it so, else in single quotes. */
function shellWord(word: string): string {
  return /^[\w./:@%+,=-]+$/.test(word) && word !== "..." ? word : `'${word.replaceAll("'", "'\\''")}'`
}
