import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { loadScores } from "./scores-file.js"

const file = join(mkdtempSync(join(tmpdir(), "lamina-scores-")), "scores.json")
const base = { modules: ["q", "v"].map((name) => ({ name, outFeatures: 8, inFeatures: 8 })) }

test("scores are what the file says, and all alike without one", async () => {
  writeFileSync(file, `{ "v": 0.25 }`)
  expect([...(await loadScores(file, base))]).toEqual([["v", 0.25]])
  expect([...(await loadScores(undefined, base))]).toEqual([
    ["q", 1],
    ["v", 1],
  ])
})

test.each([
  ["a module the base does not have", `{ "o": 1 }`, /modules of the base, got "o"/],
  ["a score below 0", `{ "q": -1 }`, /q: expected a number from 0, got -1/],
  ["a score that is text", `{ "q": "1" }`, /q: expected a number from 0, got "1"/],
  ["a list", "[1]", /expected an object/],
  ["no JSON", "up: 1", /is not JSON/],
])("%s is USAGE", async (_, content, message) => {
  writeFileSync(file, content)
  await expect(loadScores(file, base)).rejects.toMatchObject({
    code: "USAGE",
    message: expect.stringMatching(message),
  })
})

test("a file that is not there is FILE_UNREADABLE", async () => {
  await expect(loadScores(`${file}.missing`, base)).rejects.toMatchObject({ code: "FILE_UNREADABLE" })
})
