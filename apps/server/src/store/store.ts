import type { RoundEvent } from "../round/round.js"
import type {
  AdapterRow,
  BaseFileRow,
  BaseRow,
  ClientRow,
  ContributionRow,
  EventRow,
  FederationRow,
  PlanRow,
  RoundRow,
  RoundState,
  RunRow,
  RunState,
  UpdateRow,
  UploadRow,
} from "./schema.js"

/** An event of a round's log with the time it was judged at, and the state the round is in after it. */
export interface LoggedEvent {
  readonly runId: string
  readonly round: number
  readonly seq: number
  readonly event: RoundEvent
  readonly atMs: number
  readonly state: RoundState
}

/** What one durable answer to a commit writes. */
export type NewUpdate = Omit<UpdateRow, "sequence">

/** An answer that changed its round: what is logged, and the update's row where it was taken or refused. */
export interface RecordedAnswer {
  readonly update: NewUpdate | undefined
  readonly logged: LoggedEvent
}

/**
 * The truth of a coordinator. Every method that writes is one transaction, durable when its promise resolves; a
 * failed one leaves nothing behind. Missing rows are `undefined`. Throws STORAGE_FULL when the disk is; any other
 * failure of the disk is fatal.
 */
export interface Store {
  /** The SQLite file. */
  readonly file: string
  federation(): Promise<FederationRow | undefined>
  createFederation(row: FederationRow): Promise<void>

  /** Inserts the client or refreshes its name, capability and last-seen time; the first-seen time stays. */
  upsertClient(row: ClientRow): Promise<void>
  client(id: string): Promise<ClientRow | undefined>
  clients(): Promise<ClientRow[]>

  createRun(run: RunRow, base: { row: BaseRow; files: readonly BaseFileRow[] }): Promise<void>
  run(id: string): Promise<RunRow | undefined>
  runs(): Promise<RunRow[]>
  endRun(id: string, end: { state: Exclude<RunState, "active">; reason?: string; atMs: number }): Promise<void>
  base(hash: string): Promise<BaseRow | undefined>
  /** Where a file of a base with this content hash lies. */
  baseFile(hash: string): Promise<(BaseFileRow & { folder: string }) | undefined>

  /** The round row, its plans and its first event, at once. */
  openRound(row: RoundRow, plans: readonly PlanRow[], first: LoggedEvent): Promise<void>
  round(runId: string, round: number): Promise<RoundRow | undefined>
  rounds(runId: string): Promise<RoundRow[]>
  plan(runId: string, round: number, clientId: string): Promise<PlanRow | undefined>
  plans(runId: string, round: number): Promise<PlanRow[]>
  events(runId: string, round: number): Promise<EventRow[]>
  appendEvent(logged: LoggedEvent): Promise<void>

  upload(id: string): Promise<UploadRow | undefined>
  uploads(runId: string, round: number): Promise<UploadRow[]>
  /**
   * Opens an upload, with its small envelope where that came along; an older, uncommitted one of the same client and
   * round is forgotten. Returns the forgotten one's id.
   */
  openUpload(row: UploadRow, envelope?: Uint8Array): Promise<string | undefined>
  /** Ids of the uploads whose bytes are still needed. */
  uploadIds(): Promise<string[]>
  /**
   * Empties the uploads of rounds that are over and take no late updates; their rows stay, so that a late commit can
   * be told what became of its round.
   */
  forgetUploads(): Promise<Pick<UploadRow, "id" | "envelope_bytes">[]>
  /** Keeps a small envelope as long as its upload is needed; again: a no-op. */
  putEnvelope(uploadId: string, bytes: Uint8Array): Promise<void>
  envelope(uploadId: string): Promise<Uint8Array | undefined>

  /**
   * Answers to commits in the order given, all in one transaction: their events, and the rows of those that have one.
   * Resolves to their sequences, 0 where there is no row. A primary key or root that exists: rejects, and nothing is
   * written.
   */
  recordUpdates(answers: readonly RecordedAnswer[]): Promise<number[]>
  update(runId: string, round: number, clientId: string): Promise<UpdateRow | undefined>
  updates(runId: string, round: number): Promise<UpdateRow[]>
  /** The weights of a run's accepted updates with their clients' names, oldest first. */
  weights(runId: string): Promise<{ client_name: string; weight: number }[]>

  /**
   * Publishes: event, adapter row, contributions, round row, the run's global adapter; erases the secret keys of this
   * round and all before, but for the last `keepSecrets` (buffered runs still take updates for them).
   */
  publishRound(
    logged: LoggedEvent,
    published: {
      adapter: AdapterRow
      report: string
      contributions?: readonly ContributionRow[]
      keepSecrets?: number
    },
  ): Promise<void>
  /** In aggregation order. */
  contributions(runId: string, round: number): Promise<ContributionRow[]>
  /** Says when and why an abandoned round ended and erases its secret key; again: a no-op. */
  closeRound(runId: string, round: number, end: { reason: string; atMs: number }): Promise<void>
  adapters(): Promise<AdapterRow[]>

  /** Checkpoints and closes. */
  close(): Promise<void>
}
