import { readFileSync } from "node:fs"

import { fromHex, hash, toHex } from "@lamina/crypto"
import { LIMITS, messages } from "@lamina/protocol"

/**
 * docs/protocol.md against the code: every message with its fields, every limit, every signature label, every byte of
 * the example.
 */
const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), "utf8")
const page = read("docs/protocol.md")
const proto = read("packages/protocol/proto/lamina.proto").replace(/\/\/.*/g, "")
const declared = [...proto.matchAll(/message (\w+) \{((?:[^{}]|\{[^{}]*\})*)\}/g)].map(
  ([, name = "", body = ""]) =>
    [
      name,
      [...body.matchAll(/((?:repeated )?\w+) (\w+) = (\d+);/g)].map(
        ([, type, field, number]) => `${number} ${field} ${type}`,
      ),
    ] as const,
)

test("the page is held against every message there is", () => {
  expect(declared.map(([name]) => name).sort()).toEqual(Object.keys(messages).sort())
})

test.each(declared)("%s has its section, and the section has its fields", (name, fields) => {
  const section = page.split(/^(?=##)/m).find((part) => part.startsWith(`#### ${name}\n`))
  expect(section).toBeDefined()
  const rows = [...(section ?? "").matchAll(/^\| (\d+) \| `(\w+)` \| ([\w ]+) \|/gm)].map(
    ([, number, field, type]) => `${number} ${field} ${type}`,
  )
  expect(rows).toEqual(fields)
})

test("every limit is there with its value and a reason, and no other", () => {
  const rows = [...page.matchAll(/^\| `(\w+)` \| (\d+) \| (.{20,}) \|$/gm)].map(([, name, value]) => [
    name,
    Number(value),
  ])
  expect(Object.fromEntries(rows) as object).toEqual(LIMITS)
})

test("every signature label of the code is on the page", () => {
  const labels = ["session", "header", "plan", "receipt", "update"].map((label) => `lamina/v1/${label}`)
  for (const label of labels) expect([label, page.includes(label)]).toEqual([label, true])
})

test("the worked example is the vector, byte for byte from the first to the last", () => {
  const { cases } = JSON.parse(read("test/vectors/crypto/envelope.json")) as { cases: Record<string, string>[] }
  const vector = cases.find(({ plaintextBytes }) => Number(plaintextBytes) === 3)
  const envelope = fromHex(vector?.envelope ?? "") as Uint8Array
  const rows = [...page.matchAll(/^\| (\d+) \| (\d+) \| (H = )?`([0-9a-f]+)` \|/gm)]
  let end = 0
  for (const [, offset, length, hashed, hex] of rows) {
    const bytes = envelope.subarray(Number(offset), Number(offset) + Number(length))
    expect([offset, toHex(hashed ? hash(bytes) : bytes)]).toEqual([offset, hex])
    expect(Number(offset)).toBe(end)
    end += Number(length)
  }
  expect(end).toBe(envelope.byteLength)
  const header = fromHex(vector?.header ?? "") as Uint8Array
  for (const value of [toHex(hash(header)), vector?.payloadKey, vector?.root, vector?.contentKey])
    expect(page).toContain(value)
})
