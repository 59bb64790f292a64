export { compareNames, factorCount, scaleOf } from "./adapter.js"
export type { Adapter, AdapterModule, ScalingRule, Update } from "./adapter.js"
export { ERRORS, LaminaError, errorCodeOfWire, hasErrorCode } from "./errors.js"
export type { ErrorCode } from "./errors.js"
export { HELD_PRECISIONS, plannedPrecisions } from "./held-precision.js"
export type { HeldPrecision } from "./held-precision.js"
export { LIMITS } from "./limits.js"
export { ownMemory } from "./memory.js"
export type { Memory } from "./memory.js"
export { messages } from "./messages.js"
export type {
  BaseFile,
  BaseManifest,
  Capability,
  Challenge,
  Decline,
  EnvelopeHeader,
  Failure,
  ManifestModule,
  Metric,
  ModulePlan,
  ModuleScore,
  NextTask,
  NextTaskReply,
  OpenSession,
  Plan,
  Progress,
  Receipt,
  ReceiptBody,
  Reply,
  RoundHeader,
  RunEnded,
  Session,
  TaskOffer,
  UpdateManifest,
  UploadCommit,
  UploadOpen,
  UploadTicket,
  Wait,
} from "./messages.js"
export { decodeSocketAnswer, encodeSocketRequest } from "./socket-message.js"
export { decodeSocketRequest, encodeSocketChallenge, encodeSocketReply, SOCKET_HINT } from "./socket-message.js"
export type { RequestName, SocketAnswer, SocketRequest } from "./socket-message.js"
export { decodeAdapter, decodeUpdate, encodeAdapter, encodeUpdate, encodeUpdateInParts } from "./update.js"
export type { UpdateContent } from "./update.js"
export { STRATEGY_NAMES } from "./strategy-names.js"
export type { StrategyName } from "./strategy-names.js"
export { PLANNED_RANKS, STRATEGY_RULES } from "./strategy-rules.js"
