import { z } from "zod"

import { RunRequest } from "../coordinator/run-request.js"
import type { RoundSummary, RunSummary } from "../coordinator/run-book.js"
import type { AdapterView, ClientView, FederationView, RoundView } from "../coordinator/views.js"

const hash = z.string().regex(/^[0-9a-f]{64}$/)
const ms = z.int().describe("milliseconds since 1970 UTC")
const count = z.int().min(0)

const RoundSummaryShape = {
  round: count,
  state: z.enum(["collecting", "sealed", "aggregating", "published", "abandoned"]),
  cohort: count,
  accepted: count,
  rejected: count,
  adapterHash: hash.optional(),
  reason: z.string().optional(),
}

const Report = z.object({
  updates: count,
  weight: z.number(),
  stackedRank: count,
  rank: count,
  strategyError: z.number(),
  compressionError: z.number(),
  errors: z.array(z.object({ module: z.string(), relativeError: z.number() })),
  coverage: z.array(z.object({ module: z.string(), clients: count, share: z.number() })),
  prunedRanks: z.record(z.string(), count).describe("ranks the strategy lowered for good, by client id"),
  stateHash: hash.optional().describe("what the strategy keeps for the next round"),
})

const Member = z.object({
  clientId: z.string(),
  client: z.string(),
  rank: count,
  precision: z.string(),
  status: z.enum(["waiting", "accepted", "rejected", "failed"]),
  code: z.string().optional(),
  weight: z.number().optional(),
  countedRound: count.optional().describe("buffered runs: the round an accepted update counts in"),
  metrics: z.record(z.string(), z.number()).optional(),
  progress: z
    .object({ phase: z.string(), step: count, steps: count, loss: z.number(), tokensPerSecond: z.number() })
    .optional(),
})

const documented = {
  RunRequest,
  FederationView: z.object({
    id: hash,
    coordinatorKey: hash,
    createdMs: ms,
    software: z.string(),
  }) satisfies z.ZodType<FederationView>,
  ClientView: z.object({
    id: z.string(),
    name: z.string(),
    connected: z.boolean(),
    capability: z.record(z.string(), z.union([z.string(), z.number()])),
    firstSeenMs: ms,
    lastSeenMs: ms,
  }) satisfies z.ZodType<ClientView>,
  AdapterView: z.object({ hash, runId: z.string(), round: count, bytes: count }) satisfies z.ZodType<AdapterView>,
  RunView: z.object({
    id: z.string(),
    name: z.string(),
    state: z.enum(["active", "done", "failed", "cancelled"]),
    reason: z.string().optional(),
    waiting: z.string().optional().describe("what an active run lacks to begin its next round"),
    strategy: z.string(),
    roundsPlanned: count,
    base: z.string().describe("the recipe's base"),
    baseHash: hash,
    globalAdapterHash: hash.optional(),
    createdMs: ms,
    endedMs: ms.optional(),
    rounds: z.array(z.object(RoundSummaryShape) satisfies z.ZodType<RoundSummary>),
    weights: z.record(z.string(), z.number()).describe("weight of each client's last accepted update, by client name"),
  }) satisfies z.ZodType<RunSummary>,
  RoundView: z.object({
    ...RoundSummaryShape,
    runId: z.string(),
    headerHash: hash,
    wanted: count.describe("updates that close the round"),
    quorum: count,
    softDeadlineMs: ms,
    hardDeadlineMs: ms,
    openedMs: ms,
    endedMs: ms.optional(),
    report: Report.optional(),
    members: z.array(Member),
  }) satisfies z.ZodType<RoundView>,
  HealthView: z.object({ status: z.literal("ok"), activeRuns: count, connectedClients: count }),
  Failure: z.object({ code: z.string(), message: z.string(), hint: z.string().optional() }),
}
type Documented = keyof typeof documented

/** References into the components of /openapi.json. */
export const schemas = {
  one: (name: Documented) => ({ $ref: `#/components/schemas/${name}` }),
  list: (name: Documented) => ({ type: "array", items: { $ref: `#/components/schemas/${name}` } }) as const,
}

/** The same zod schemas that validate, as OpenAPI components. */
export function components(): Record<string, object> {
  const converted = Object.entries(documented).map(([name, schema]) => {
    const json: Record<string, unknown> = { ...z.toJSONSchema(schema, { target: "openapi-3.0", io: "input" }) }
    delete json.$schema
    return [name, json] as const
  })
  return Object.fromEntries(converted)
}
