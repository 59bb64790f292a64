import type { ClientRow } from "./journal.js"
import { failedRun } from "./failed-run.js"

const state = { id: "r-1", state: "failed", reason: "quorum-missed", rounds: { length: 2 } } as const

function messageOf(ends: readonly Partial<ClientRow>[]): string {
  const row = { kind: "client", round: 2, client: "a", outcome: "late", atMs: 0 } as const
  const error = failedRun(state, { ends: ends.map((end) => ({ ...row, ...end })), history: "out/history.jsonl" })
  expect(error).toMatchObject({
    code: "RUN_STATE",
    hint: "out/history.jsonl has how every client of every round ended",
  })
  return error.message
}

test("a run that failed says how the clients of its last round ended, with the first cause of each kind", () => {
  const failed = { outcome: "failed", code: "PLAN_UNSUPPORTED" } as const
  const ends = [
    ...[{ round: 1, outcome: "accepted" } as const, { outcome: "out-of-memory" } as const, {}],
    ...[{ ...failed, reason: "plan: one" }, { ...failed, reason: "plan: two" }, { ...failed }],
  ]
  expect(messageOf(ends)).toBe(
    'run r-1 ended as "failed" (quorum-missed) after 2 rounds; ' +
      "clients of round 2: 3 failed: PLAN_UNSUPPORTED: plan: one, 1 out-of-memory, 1 late",
  )
})

test("a run that failed before anybody ended a round says that much, and a long reason is cut", () => {
  expect(messageOf([])).toBe('run r-1 ended as "failed" (quorum-missed) after 2 rounds')
  const long = messageOf([{ outcome: "rejected", code: "UPDATE_NORM", reason: "x".repeat(500) }])
  expect(long).toMatch(/1 rejected: UPDATE_NORM: x{200}\.\.\.$/)
})
