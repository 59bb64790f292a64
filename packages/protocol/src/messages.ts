import { message } from "./codec.js"
import type { MessageCodec } from "./codec.js"
import {
  bytes,
  double,
  exactlyOne,
  flag,
  integer,
  label,
  list,
  optional,
  relativePath,
  rising,
  text,
  uint32,
  word,
} from "./fields.js"
import { HELD_PRECISIONS } from "./held-precision.js"
import { LIMITS } from "./limits.js"
import { STRATEGY_NAMES } from "./strategy-names.js"

/**
 * Every message of proto/lamina.proto with the meaning of its fields checked. docs/protocol.md is the specification.
 */
const hash = bytes({ lengths: [32] })
/** Empty, or a hash. */
const maybeHash = bytes({ lengths: [0, 32] })
const clientId = bytes({ lengths: [16] })
const signature = bytes({ lengths: [64] })
const runId = label({ max: 64 })
const name = label({ max: LIMITS.nameBytesMax })
const note = text({ max: 1_000 })
const round = uint32({ min: 1 })
const scaling = word(["lora", "rslora"])
/** Base precision a client may be told to hold. */
const precision = word(HELD_PRECISIONS)
const share = double({ min: 0, max: 1 })

const Challenge = message("Challenge", {
  nonce: hash,
  federationId: hash,
  coordinatorKey: hash,
  software: text({ max: 100 }),
})
const Capability = message("Capability", {
  memoryBytes: integer(),
  cores: uint32(),
  kernels: text({ max: 100 }),
  tokensPerSecond: double({ min: 0 }),
  platform: text({ max: 100 }),
  node: text({ max: 100 }),
  rankMax: uint32({ max: LIMITS.rankMax }),
  precision: word(["", ...HELD_PRECISIONS]),
  examples: integer(),
  freeMemoryBytes: integer(),
  forwardTokensPerSecond: double({ min: 0 }),
  uploadBytesPerSecond: double({ min: 0 }),
  downloadBytesPerSecond: double({ min: 0 }),
  uploadBytesMax: integer(),
  downloadBytesMax: integer(),
})
const OpenSession = message("OpenSession", {
  publicKey: hash,
  signature,
  name,
  capability: Capability,
  joinToken: text({ max: 200 }),
  version: uint32(),
  software: text({ max: 100 }),
})
const Session = message("Session", { clientId, token: text({ min: 1, max: 200 }), serverTimeMs: integer() })

const NextTask = message("NextTask", { runId: text({ max: 64 }), afterRound: uint32() })
const Wait = message("Wait", { retryAfterMs: uint32(), reason: note })
const RunEnded = message("RunEnded", { runId, state: text({ min: 1, max: 32 }), globalAdapterHash: maybeHash })
const TaskOffer = message("TaskOffer", {
  header: bytes({ max: LIMITS.envelopeHeaderBytesMax }),
  headerSignature: signature,
  plan: bytes({ max: LIMITS.frameBytesMax }),
  planSignature: signature,
  runId,
})
const NextTaskReply = message(
  "NextTaskReply",
  { task: optional(TaskOffer), wait: optional(Wait), ended: optional(RunEnded) },
  { check: exactlyOne },
)
const RoundHeader = message("RoundHeader", {
  version: uint32(),
  federationId: hash,
  runId,
  round,
  mode: word(["open"]),
  baseHash: hash,
  globalAdapterHash: maybeHash,
  recipeHash: hash,
  cohortRoot: hash,
  previousHeaderHash: hash,
  weightRule: word(["tokens", "examples", "equal"]),
  softDeadlineMs: integer(),
  hardDeadlineMs: integer(),
  recipientKey: bytes({ lengths: [1_216] }),
  strategy: word(STRATEGY_NAMES),
  seed: uint32(),
})
const ModulePlan = message("ModulePlan", {
  name,
  outFeatures: uint32({ min: 1, max: LIMITS.featuresMax }),
  inFeatures: uint32({ min: 1, max: LIMITS.featuresMax }),
  rank: uint32({ min: 1, max: LIMITS.rankMax }),
  alpha: double({ min: 0 }),
  startRank: uint32({ max: LIMITS.rankMax }),
})
const Plan = message(
  "Plan",
  {
    modules: list(ModulePlan, { min: 1, max: LIMITS.modulesMax }),
    scaling,
    dropout: share,
    precision,
    // the same bounds as in a recipe: a plan must not ask a client for more than any recipe can
    steps: uint32({ min: 1, max: 1_000_000 }),
    batch: uint32({ min: 1, max: 4_096 }),
    context: uint32({ min: 2, max: 131_072 }),
    accumulate: uint32({ min: 1, max: 1_024 }),
    learningRate: double({ min: 0 }),
    schedule: word(["constant", "linear", "cosine"]),
    warmupSteps: uint32(),
    clipNorm: double({ min: 0 }),
    weightDecay: double({ min: 0 }),
    seed: uint32(),
    lossOn: word(["all", "response"]),
    downloadBytesMax: integer(),
    proximal: double({ min: 0 }),
    gradientCheckpointing: flag(),
    initSeed: uint32(),
    freezeA: flag(),
    globalAdapterHash: maybeHash,
    reportScores: flag(),
    mergeGlobal: flag(),
  },
  {
    alike: "modules",
    check: ({ modules }) => {
      if (new Set(modules.map((module) => module.name)).size < modules.length) return "a module comes twice"
      return modules.some(({ rank, startRank }) => startRank > rank) ? "a startRank is above its rank" : undefined
    },
  },
)
const Progress = message("Progress", {
  runId,
  round,
  phase: text({ max: 32 }),
  step: uint32(),
  steps: uint32(),
  loss: double(),
  tokensPerSecond: double({ min: 0 }),
})
const Decline = message("Decline", { runId, round, code: uint32(), reason: note })
const Ack = message("Ack", {})

const BaseFile = message("BaseFile", { path: relativePath({ max: LIMITS.nameBytesMax }), bytes: integer(), hash })
const BaseManifest = message(
  "BaseManifest",
  { name: text({ max: LIMITS.nameBytesMax }), files: list(BaseFile, { min: 1, max: 1_000 }) },
  { check: ({ files }) => rising(files.map((file) => file.path)) },
)

const UploadOpen = message("UploadOpen", {
  runId,
  round,
  header: bytes({ max: LIMITS.envelopeHeaderBytesMax }),
  leaves: list(hash, { min: 1, max: LIMITS.leavesMax }),
  signature,
  envelopeBytes: integer({ min: 1 }),
  envelope: optional(bytes({ max: LIMITS.smallEnvelopeBytesMax })),
})
const Receipt = message("Receipt", { body: bytes({ max: 1_000 }), signature })
const UploadTicket = message("UploadTicket", {
  uploadId: text({ min: 1, max: 100 }),
  have: bytes({ max: LIMITS.leavesMax / 8 }),
  window: uint32(),
  receipt: optional(Receipt),
})
const UploadCommit = message("UploadCommit", { uploadId: text({ min: 1, max: 100 }), envelopeRoot: hash })
const ReceiptBody = message("ReceiptBody", {
  status: word(["ACCEPTED", "DUPLICATE", "LATE", "CLOSED", "REJECTED"]),
  code: uint32(),
  sequence: integer(),
  roundHeaderHash: hash,
  envelopeRoot: hash,
  clientId,
})

const Failure = message("Failure", { code: uint32(), message: note, retryAfterMs: uint32() })
const Reply = message(
  "Reply",
  { ok: optional(bytes({ max: LIMITS.frameBytesMax })), failure: optional(Failure) },
  { check: exactlyOne },
)

const EnvelopeHeader = message("EnvelopeHeader", {
  version: uint32(),
  suite: uint32(),
  federationId: hash,
  roundHeaderHash: hash,
  clientId,
  purpose: word(["update"]),
  manifestHash: hash,
  plaintextBytes: integer(),
  segmentBytes: uint32({ min: 1 }),
  segments: uint32(),
  salt: bytes({ lengths: [24] }),
  stanzaRoot: hash,
  keyCommitment: maybeHash,
  stanzas: uint32({ min: 1 }),
})
const ManifestTensor = message("ManifestTensor", { dtype: word(["f32"]), offset: integer(), bytes: integer() })
const ManifestModule = message("ManifestModule", {
  name,
  outFeatures: uint32({ min: 1, max: LIMITS.featuresMax }),
  inFeatures: uint32({ min: 1, max: LIMITS.featuresMax }),
  rank: uint32({ min: 1, max: LIMITS.featuresMax }),
  alpha: double({ min: 0 }),
  scaling,
  a: ManifestTensor,
  b: ManifestTensor,
})
const Metric = message("Metric", { name: label({ max: 100 }), value: double() })
const ModuleScore = message("ModuleScore", { name, values: list(double({ min: 0 }), { max: LIMITS.rankMax }) })
const UpdateManifest = message(
  "UpdateManifest",
  {
    weight: integer({ max: LIMITS.weightMax }),
    modules: list(ManifestModule, { min: 1, max: LIMITS.modulesMax }),
    metrics: list(Metric, { max: 100 }),
    scores: list(ModuleScore, { max: LIMITS.modulesMax }),
  },
  { alike: "modules" },
)

// prettier-ignore
export const messages = {
  Challenge, Capability, OpenSession, Session,
  NextTask, NextTaskReply, Wait, RunEnded, TaskOffer, RoundHeader, ModulePlan, Plan, Progress, Decline, Ack,
  BaseFile, BaseManifest, UploadOpen, UploadTicket, UploadCommit, Receipt, ReceiptBody, Failure, Reply,
  EnvelopeHeader, ManifestTensor, ManifestModule, Metric, ModuleScore, UpdateManifest,
}

type Message<C> = C extends MessageCodec<infer T> ? T : never
export type Challenge = Message<typeof Challenge>
export type Capability = Message<typeof Capability>
export type OpenSession = Message<typeof OpenSession>
export type Session = Message<typeof Session>
export type NextTask = Message<typeof NextTask>
export type NextTaskReply = Message<typeof NextTaskReply>
export type Wait = Message<typeof Wait>
export type RunEnded = Message<typeof RunEnded>
export type TaskOffer = Message<typeof TaskOffer>
export type RoundHeader = Message<typeof RoundHeader>
export type ModulePlan = Message<typeof ModulePlan>
export type Plan = Message<typeof Plan>
export type Progress = Message<typeof Progress>
export type Decline = Message<typeof Decline>
export type BaseFile = Message<typeof BaseFile>
export type BaseManifest = Message<typeof BaseManifest>
export type UploadOpen = Message<typeof UploadOpen>
export type UploadTicket = Message<typeof UploadTicket>
export type UploadCommit = Message<typeof UploadCommit>
export type Receipt = Message<typeof Receipt>
export type ReceiptBody = Message<typeof ReceiptBody>
export type Failure = Message<typeof Failure>
export type Reply = Message<typeof Reply>
export type EnvelopeHeader = Message<typeof EnvelopeHeader>
export type ManifestModule = Message<typeof ManifestModule>
export type Metric = Message<typeof Metric>
export type ModuleScore = Message<typeof ModuleScore>
export type UpdateManifest = Message<typeof UpdateManifest>
