import { factorCount } from "@lamina/protocol"
import type { Plan } from "@lamina/protocol"
import type { SimulatedDevice } from "@lamina/protocol/recipe"

import { chance } from "./chance.js"

/** What a plan costs, whoever runs it, beside a global adapter of so many bytes. */
export interface PlanCost {
  /** Time on a device that trains the reference plan (every linear, rank 16) at so many tokens/s. */
  trainMs(plan: Plan, given: { readonly viewBytes: number; readonly tokensPerSecond: number }): number
  memoryBytes(plan: Plan, viewBytes: number): number
}

/** How a virtual device spends a round; times in ms of virtual time since 1970. */
export interface Schedule {
  readonly startMs: number
  readonly downloadedMs: number
  readonly trainedMs: number
  /** When the update is in, or when it is clear that none will come. */
  readonly endMs: number
  readonly fate: "arrives" | "drops" | "out-of-memory"
  /** It stopped once and went on from its checkpoint. */
  readonly crashed: boolean
  readonly bytesDown: number
  readonly bytesUp: number
  /** What the plan needs. */
  readonly memoryBytes: number
}

interface Assignment {
  readonly client: string
  readonly round: number
  readonly plan: Plan
  readonly startMs: number
  /** Bytes of the global adapter it downloads. */
  readonly bytesDown: number
}

/** A device is never twice as fast: its speed varies by this much to both sides from round to round. */
const JITTER = 0.1
/** How long a device takes to start again after a crash. */
const RESTART_MS = 30_000

/** What happens to one device in one round: a function of the seed, the round and the client's name. */
export function scheduleOf(assignment: Assignment, device: SimulatedDevice, setting: { seed: number; cost: PlanCost }) {
  const { client, round, plan, startMs, bytesDown } = assignment
  const draw = (what: string): number => chance(setting.seed, what, round, client)
  const bytesUp = 4 * factorCount(plan.modules)
  const downloadedMs = startMs + (1_000 * bytesDown) / device.downloadBytesPerSecond
  const { tokensPerSecond } = device
  const trainMs = setting.cost.trainMs(plan, { viewBytes: bytesDown, tokensPerSecond })
  const working = trainMs * (1 + JITTER * (2 * draw("speed") - 1))
  const crashed = draw("crash") < device.crash
  const lostMs = crashed ? RESTART_MS + draw("lost") * 0.2 * working : 0
  const trainedMs = downloadedMs + working + lostMs
  const arrivesMs = trainedMs + (1_000 * bytesUp) / device.uploadBytesPerSecond
  const memoryBytes = Math.round(setting.cost.memoryBytes(plan, bytesDown))
  const rounded = { startMs, downloadedMs: Math.round(downloadedMs), trainedMs: Math.round(trainedMs), crashed }
  const whole: Schedule = { ...rounded, endMs: Math.round(arrivesMs), fate: "arrives", bytesDown, bytesUp, memoryBytes }
  if (memoryBytes > device.memoryBytes)
    return { ...whole, trainedMs: whole.downloadedMs, endMs: whole.downloadedMs, fate: "out-of-memory" as const }
  if (draw("dropout") >= device.dropout) return whole
  const goneMs = Math.round(startMs + draw("gone") * (arrivesMs - startMs))
  return { ...whole, trainedMs: Math.min(whole.trainedMs, goneMs), endMs: goneMs, fate: "drops" as const }
}
