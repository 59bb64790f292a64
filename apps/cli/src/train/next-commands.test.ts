import { nextCommands } from "./next-commands.js"
import type { TrainOptions } from "./train-options.js"

const options = { lossOn: "response", precision: "stored" } as TrainOptions

test("the commands after a training name what they need and nothing else", () => {
  expect(nextCommands({ model: "org/repo", options }, "/runs/a/adapter")).toEqual([
    "lamina eval org/repo --adapter /runs/a/adapter --data HELD_OUT_FILE --loss-on response",
    "lamina generate org/repo --adapter /runs/a/adapter --prompt '...'",
  ])
})

test("data, context and precision that were given are given again, quoted for the shell", () => {
  const given = {
    ...{ ...options, evalData: ["/data/it's.csv"], promptField: "mr", responseField: "the text", chatTemplate: true },
    ...{ context: 256, precision: "q4" as const },
  }
  expect(nextCommands({ model: "models/tiny", options: given }, "a")).toEqual([
    "lamina eval models/tiny --adapter a --data '/data/it'\\''s.csv' --loss-on response " +
      "--prompt-field mr --response-field 'the text' --chat-template --context 256 --precision q4",
    "lamina generate models/tiny --adapter a --context 256 --precision q4 --chat --prompt '...'",
  ])
})
