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

test.each([
  ["a pipe", false],
  ["a terminal", true],
])("on %s a round that is abandoned says so, with the reason", (_, isTTY) => {
  const stream = Object.assign(new PassThrough(), { isTTY }) as unknown as NodeJS.WriteStream
  const shown = federationView(stream)
  shown.roundAbandoned({ round: 2, reason: "quorum-missed" })
  expect(String(stream.read())).toBe("round 2 abandoned: quorum-missed\n")
  shown.close()
})

test("one is not told in the plural", () => {
  const stream = new PassThrough()
  const shown = federationView(stream as unknown as NodeJS.WriteStream)
  shown.roundOpened({ round: 1, rounds: 3, clients: ["a"] })
  shown.training("a", { step: 1, steps: 1, loss: 2 })
  shown.training("a", { step: 2, steps: 2, loss: 2 })
  expect(String(stream.read())).toBe(
    "round 1/3: 1 client\n  a: trained 1 step, loss 2.000\n  a: trained 2 steps, loss 2.000\n",
  )
})
