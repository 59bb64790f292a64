export { adapterDistance, adapterError } from "./adapter-error.js"
export { aggregateAdapters } from "./aggregate-adapters.js"
export type { NamedAdapter } from "./aggregate-adapters.js"
export { checkUpdate } from "./check-update.js"
export { compress } from "./compress.js"
export type { Compressed, CompressOptions } from "./compress.js"
export { replay, withoutClient } from "./replay.js"
export type { StoredRound } from "./replay.js"
export { RoundMemory } from "./round-memory.js"
export { spectrum } from "./spectrum.js"
export type { ModuleSpectrum } from "./spectrum.js"
export { stackOnto } from "./stack-onto.js"
export { STRATEGIES } from "./strategies.js"
export type {
  Accumulator,
  ClientLimits,
  ClientTerms,
  ModuleCoverage,
  ModuleError,
  Projection,
  RoundClient,
  RoundInput,
  RoundResult,
  ServerOptimizer,
  Strategy,
  StrategySettings,
} from "./strategy.js"
