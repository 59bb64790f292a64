import { messages } from "@lamina/protocol"
import { ERRORS, LaminaError } from "@lamina/protocol/errors"
import pino from "pino"

import { statusOf } from "./error-filter.js"
import { reply } from "./reply.js"

const lines: string[] = []
const logger = pino({ level: "error" }, { write: (line: string) => lines.push(line) })
const answerOf = async (work: () => Promise<Uint8Array>) => messages.Reply.decode(await reply(work, logger))

test("a result is ok, a coded failure its code with when to come again, and neither is logged", async () => {
  expect((await answerOf(async () => Uint8Array.of(1, 2))).ok).toEqual(Uint8Array.of(1, 2))
  const full = await answerOf(() => Promise.reject(new LaminaError("STORAGE_FULL", "no room")))
  expect(full.failure).toEqual({ code: ERRORS.STORAGE_FULL.wire, message: "no room", retryAfterMs: 5_000 })
  const never = await answerOf(() => Promise.reject(new LaminaError("UPDATE_RANK", "rank")))
  expect(never.failure?.retryAfterMs).toBe(0)
  expect(lines).toEqual([])
})

test("a bug is logged in full and said in one word", async () => {
  const { failure } = await answerOf(() => Promise.reject(new TypeError("secret of the house")))
  expect(failure?.code).toBe(ERRORS.INTERNAL.wire)
  expect(failure?.message).not.toContain("secret")
  expect(lines.join()).toContain("secret of the house")
})

test("a long message is cut to what a Failure may hold, also between the bytes of a character", async () => {
  for (const start of ["", "a", "ab", "abc"]) {
    const long = `${start}${"\u{1f600}".repeat(400)}\ud800`
    const { failure } = await answerOf(() => Promise.reject(new LaminaError("NOT_FOUND", long)))
    expect(failure?.message.startsWith(`${start}\u{1f600}`)).toBe(true)
    expect(new TextEncoder().encode(failure?.message).byteLength).toBeGreaterThan(990)
  }
})

test("failures have the status of their kind over HTTP", () => {
  const statuses = (
    [
      "FRAME_MALFORMED",
      "SESSION_REJECTED",
      "NOT_FOUND",
      "UPLOAD_CONFLICT",
      "FRAME_TOO_LARGE",
      "STORAGE_FULL",
      "INTERNAL",
    ] as const
  ).map(statusOf)
  expect(statuses).toEqual([400, 401, 404, 409, 413, 507, 500])
})
