import { EventEmitter } from "node:events"
import { PassThrough } from "node:stream"

import type { LaminaClient } from "@lamina/client"

import { showParticipation } from "./participation.js"
import { federationView } from "./progress.js"

/** What is shown of these events of a client. */
function shown(...events: readonly (readonly [name: string, event: object])[]): string[] {
  const [client, stream] = [new EventEmitter(), new PassThrough()]
  showParticipation(client as unknown as LaminaClient, federationView(stream as unknown as NodeJS.WriteStream), "north")
  for (const [name, event] of events) client.emit(name, event)
  return String(stream.read()).trimEnd().split("\n")
}

const waiting = (reason: string) => ["waiting", { reason, retryAfterMs: 1 }] as const

test("a wait is said once, and again when its reason changes or something was in between", () => {
  const task = ["task", { round: 1, steps: 2 }] as const
  const lines = shown(...["1 is", "1 is", "2 are", "2 are"].map(waiting), task, waiting("2 are"))
  expect(lines).toEqual([
    "waiting: 1 is (Ctrl-C leaves)",
    "waiting: 2 are (Ctrl-C leaves)",
    "round 1: 2 steps",
    "waiting: 2 are (Ctrl-C leaves)",
  ])
})

test("a round that failed says why, one that was accepted nothing", () => {
  const failed = { round: 2, outcome: "failed", code: "FRAME_TOO_LARGE", reason: "expected 10 bytes, got 11" }
  expect(shown(["round", { round: 1, outcome: "accepted" }], ["round", failed])).toEqual([
    "round 2: failed (FRAME_TOO_LARGE): expected 10 bytes, got 11",
  ])
})
