import { PassThrough } from "node:stream"

import { trainView } from "../train/train-view.js"
import { federationView } from "./progress.js"

test.each([
  ["federation", federationView],
  ["training", trainView],
])("on a terminal a note of a %s shows at once where no bar has come yet", (_, view) => {
  const terminal = Object.assign(new PassThrough(), { isTTY: true }) as unknown as NodeJS.WriteStream
  const shown = view(terminal)
  shown.note("connected")
  expect(String(terminal.read())).toBe("connected\n")
  shown.close()
})
