/**
 * The tables as kysely types; migrations.ts creates them. Hashes and ids are lower-case hex, times ms since 1970,
 * JSON is text.
 */
export interface Schema {
  federations: FederationRow
  clients: ClientRow
  bases: BaseRow
  base_files: BaseFileRow
  runs: RunRow
  rounds: RoundRow
  plans: PlanRow
  uploads: UploadRow
  updates: UpdateRow
  events: EventRow
  adapters: AdapterRow
  contributions: ContributionRow
}

export interface FederationRow {
  id: string
  coordinator_key: Uint8Array
  created_ms: number
}

export interface ClientRow {
  id: string
  public_key: Uint8Array
  name: string
  /** Capability as JSON. */
  capability: string
  first_seen_ms: number
  last_seen_ms: number
}

export interface BaseRow {
  hash: string
  folder: string
  /** BaseManifest bytes; `hash` is their content hash. */
  manifest: Uint8Array
}

export interface BaseFileRow {
  base_hash: string
  path: string
  hash: string
  bytes: number
}

export type RunState = "active" | "done" | "failed" | "cancelled"

export interface RunRow {
  id: string
  name: string
  recipe: string
  recipe_hash: string
  base_hash: string
  /** [{ name, outFeatures, inFeatures }] as JSON. */
  modules: string
  /** BaseShape of the planner as JSON, where the run was given one. */
  shape: string | null
  state: RunState
  /** Why it failed; null otherwise. */
  reason: string | null
  global_adapter_hash: string | null
  created_ms: number
  ended_ms: number | null
}

export type RoundState = "collecting" | "sealed" | "aggregating" | "published" | "abandoned"

export interface RoundRow {
  run_id: string
  round: number
  state: RoundState
  /** RoundHeader bytes as signed and sent. */
  header: Uint8Array
  header_hash: string
  header_signature: Uint8Array
  /** Secret half of the round's recipient key; null once no update for the round is taken any more. */
  recipient_secret: Uint8Array | null
  /** RoundTerms as JSON. */
  terms: string
  /** Size of the cohort. */
  cohort: number
  accepted: number
  rejected: number
  adapter_hash: string | null
  /** AggregationReport as JSON once published. */
  report: string | null
  reason: string | null
  opened_ms: number
  ended_ms: number | null
}

export interface PlanRow {
  run_id: string
  round: number
  client_id: string
  client_name: string
  plan: Uint8Array
  signature: Uint8Array
  /** How long the planner thought that it takes, download and upload included; 0: it made no estimate. */
  estimate_ms: number
  /** The training in it. */
  train_ms: number
}

export interface UploadRow {
  id: string
  run_id: string
  round: number
  client_id: string
  /** EnvelopeHeader bytes. */
  header: Uint8Array
  signature: Uint8Array
  /** Leaf hashes, 32 bytes each. */
  leaves: Uint8Array
  envelope_root: string
  envelope_bytes: number
  opened_ms: number
}

export interface UpdateRow {
  run_id: string
  round: number
  client_id: string
  envelope_root: string
  /** Order of durable answers of this coordinator, from 1. */
  sequence: number
  status: "ACCEPTED" | "REJECTED"
  /** Wire number of the refusal; 0 when accepted. */
  code: number
  weight: number
  metrics: string
  /** { module: importance } as JSON; empty where the plan did not ask for it. */
  scores: string
  /** The round whose global adapter holds it; differs from `round` for an update that came late to a buffered run. */
  counted_round: number | null
  envelope_bytes: number
  at_ms: number
}

export interface EventRow {
  run_id: string
  round: number
  seq: number
  /** RoundEvent as JSON. */
  event: string
  at_ms: number
}

export interface AdapterRow {
  run_id: string
  round: number
  hash: string
  bytes: number
}

/** One update that a global adapter holds, kept so that it can be taken out (recipe: globalAdapter.keepUpdates). */
export interface ContributionRow {
  run_id: string
  /** The round that counted it. */
  round: number
  /** Place in the order of aggregation, from 0. */
  position: number
  client_id: string
  client_name: string
  /** The round it was trained for. */
  trained_round: number
  /** After the weight rule and staleness; p_k = weight / sum. */
  weight: number
  /** Content hash of its adapter, encodeAdapter bytes. */
  hash: string
}
