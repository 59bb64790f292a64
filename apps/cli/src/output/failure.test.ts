import { PassThrough } from "node:stream"

import { LaminaError } from "@lamina/protocol/errors"

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

test("a message of several lines is one error, its other lines indented and none of them empty", () => {
  const stream = new PassThrough()
  printError(new LaminaError("RECIPE_INVALID", "r.yaml: rounds: one\n\nseed: two\n", { hint: "look" }), stream)
  expect(String(stream.read())).toBe(
    "lamina: error: r.yaml: rounds: one [RECIPE_INVALID]\n  seed: two\nlamina: hint: look\n",
  )
})
