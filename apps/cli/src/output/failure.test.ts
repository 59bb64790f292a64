import { PassThrough } from "node:stream"

import { printError } from "./failure.js"

test.each([
  [["train", "m"], "lamina: stopped; the same command goes on where it was\n"],
  [["model", "pull", "org/repo"], "lamina: stopped; the same command goes on where it was\n"],
  [["eval", "m"], "lamina: stopped\n"],
  [["model", "quantize", "m"], "lamina: stopped\n"],
])("Ctrl-C in %j says whether the command goes on when it is run again", (words, expected) => {
  const stream = new PassThrough()
  printError(new DOMException("stopped", "AbortError"), stream, words)
  expect(String(stream.read())).toBe(expected)
})
