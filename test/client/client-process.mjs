// A client in a process of its own, to be killed: node client-process.mjs '{"coordinator": ..., "stepMs": ...}'. One
// line of JSON per event.
import { LaminaClient } from "@lamina/client"

import { deterministicTrainer } from "./deterministic-trainer.mjs"

const { stepMs, ...options } = JSON.parse(process.argv[2])
const say = (event, data) => process.stdout.write(`${JSON.stringify({ event, ...data })}\n`)
const trainer = deterministicTrainer({ stepMs, onTrain: (from) => say("train", from) })
const client = new LaminaClient({ data: { kind: "documents", documents: ["a"] }, trainer, ...options })
for (const event of [
  "connected",
  "reconnecting",
  "waiting",
  "task",
  "progress",
  "sealed",
  "uploading",
  "uploaded",
  "receipt",
  "round",
])
  client.on(event, (data) => say(event, data))
client.on("retrying", ({ what, error }) => say("retrying", { what, code: error.code }))
say("result", await client.participate())
