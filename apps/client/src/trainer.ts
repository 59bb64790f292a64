import type { Adapter, ModuleScore, Plan } from "@lamina/protocol"
import type { DataSource } from "@lamina/tuner"

/** One round's work for this client, with everything it needs already on this machine. */
export interface TrainingTask {
  readonly runId: string
  readonly round: number
  /** What to train: modules, ranks, steps, seed. */
  readonly plan: Plan
  /** Folder with config.json, weights and tokenizer.json of the base, verified against the round header. */
  readonly baseFolder: string
  /** What stays frozen on top of the base: the global adapter without what `initial` took; undefined: nothing. */
  readonly globalAdapter: Adapter | undefined
  /**
   * Where A and B of every planned module start; undefined: A is drawn from the plan's initSeed, B = 0. Not to be
   * changed.
   */
  readonly initial?: Adapter
  readonly data: DataSource
  /** A trainer may keep its checkpoint here; the folder is this round's own and is removed after the receipt. */
  readonly workFolder: string
}

export interface TrainerContext {
  readonly signal: AbortSignal
  readonly onProgress: (progress: { step: number; steps: number; loss: number; tokensPerSecond: number }) => void
}

export interface TrainedUpdate {
  readonly adapter: Adapter
  /** Tokens and examples of this client's data set; the recipe says which one weighs. */
  readonly dataTokens: number
  readonly dataExamples: number
  readonly metrics: Readonly<Record<string, number>>
  /**
   * Importance of the rank-one triplets of each module, finite and at least 0, where the plan's reportScores asks; a
   * trainer that cannot tell leaves it out.
   */
  readonly scores?: readonly ModuleScore[]
}

/**
 * Turns a task into an update. The default trains in worker threads with @lamina/tuner; anything with this shape may
 * stand in.
 */
export interface Trainer {
  /**
   * tokens/s of training and of a forward pass, and which kernels run, for the capability report; measured, not
   * guessed, and left out where it was not.
   */
  calibrate(): Promise<{ kernels: string; tokensPerSecond: number; forwardTokensPerSecond?: number }>
  /** Documents of a data source, for the capability report; a trainer that cannot tell leaves it out. Throws DATA_*. */
  countExamples?(data: DataSource): Promise<number>
  train(task: TrainingTask, context: TrainerContext): Promise<TrainedUpdate>
  close(): Promise<void>
}
