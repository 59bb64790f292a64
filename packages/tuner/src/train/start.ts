import type { Adapter } from "@lamina/protocol"

import type { Base, TrainingJob } from "../api.js"
import { createDecoder } from "../model/decoder.js"
import { continuedAdapter, initialAdapter } from "../model/lora.js"
import { mergeAdapter } from "../model/merge-adapter.js"
import { createTrained } from "./optimizer.js"
import type { TrainingState } from "./step.js"

/** What a job trains on, and the state its first step finds. */
export interface Start {
  readonly state: TrainingState
  /** With the global adapter merged into it where the job says so. */
  readonly base: Base
  /** Frozen on top of `base`. */
  readonly frozen: readonly Adapter[]
}

/** Before the first step. ADAPTER_MISMATCH, PLAN_UNSUPPORTED for a base that nothing can be merged into. */
export function startOf({ base: given, globalAdapter, initial, modules, scaling, settings }: TrainingJob): Start {
  const adapter = initial
    ? continuedAdapter(given, { modules, scaling, adapter: initial })
    : initialAdapter(given, { modules, scaling, seed: settings.initSeed ?? settings.seed })
  const merged = settings.mergeGlobal === true && globalAdapter !== undefined
  const base = merged ? mergeAdapter(given, globalAdapter) : given
  const frozen = globalAdapter && !merged ? [globalAdapter] : []
  const model = createDecoder(base, { adapters: frozen, precision: settings.compute, positions: settings.context })
  return { state: { model, settings, adapter, trained: createTrained(adapter, settings) }, base, frozen }
}
