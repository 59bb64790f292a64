import type { FrozenWeight, Precision, TargetFormat } from "@lamina/kernels"
import type { Adapter, ModuleScore, ScalingRule } from "@lamina/protocol"

import type { DataPart } from "./data/held-out.js"
import type { LinearName } from "./model/families/family.js"

/**
 * The types other packages build on. Everything in a Base, a TrainingJob and an EvaluationJob is structured-cloneable:
 * it travels to worker threads by postMessage, weights on SharedArrayBuffers (one copy per process).
 */

/** Storage of the frozen linears in memory. `stored`: as the file has them. */
export type BasePrecision = "stored" | TargetFormat

/** Families of decoders, as config.json's `model_type` calls them (model/families/). */
export type Architecture = "llama" | "mistral" | "qwen2" | "qwen3" | "gpt2"

/** What the MLP has between its linears: SwiGLU, or GELU in one of its forms (`gelu_tanh` is GPT-2's `gelu_new`). */
export type Activation = "swiglu" | "gelu" | "gelu_tanh"

/** How rotary position embeddings turn: pair i of a head by position · theta^(-2i / headDim), scaled. */
export interface RopeSettings {
  readonly theta: number
  readonly scaling?: RopeScaling
}

/** For contexts longer than a model was first trained with; `originalContext` is that length. See ropeTable. */
export type RopeScaling =
  | { readonly type: "linear"; readonly factor: number }
  | {
      readonly type: "llama3"
      readonly factor: number
      readonly lowFactor: number
      readonly highFactor: number
      readonly originalContext: number
    }
  | {
      readonly type: "yarn"
      readonly factor: number
      readonly originalContext: number
      readonly betaFast: number
      readonly betaSlow: number
      readonly truncate: boolean
      /** cos and sin are multiplied by this. */
      readonly attentionFactor: number
    }

/** config.json of a checkpoint, parsed and checked (MODEL_CONFIG, MODEL_UNSUPPORTED). */
export interface ModelConfig {
  readonly architecture: Architecture
  readonly hidden: number
  readonly layers: number
  readonly heads: number
  readonly kvHeads: number
  readonly headDim: number
  readonly ffn: number
  readonly vocabulary: number
  readonly context: number
  readonly normEps: number
  /** Default: swiglu. */
  readonly activation?: Activation
  /** Absent: positions are learned, a row each. */
  readonly rope?: RopeSettings
  /** Linears of every block that have a bias; absent: none. */
  readonly biases?: readonly LinearName[]
  /** By layer: how many tokens one sees, itself among them; 0: all before it. Absent: 0 for all. */
  readonly windows?: readonly number[]
  readonly tiedHead: boolean
}

/** A frozen base in memory: everything by its name in safetensors. */
export interface Base {
  /** What it came from, absolute: a folder (config.json, weights, tokenizer.json), or a GGUF file. */
  readonly folder: string
  readonly config: ModelConfig
  readonly precision: BasePrecision
  /** Matrices without `.weight`, the embedding and learned positions among them. */
  readonly linears: Readonly<Record<string, FrozenWeight>>
  /** Weights of norms, without `.weight`. */
  readonly norms: Readonly<Record<string, Float32Array>>
  /** Biases of linears and norms, without `.bias`. */
  readonly biases: Readonly<Record<string, Float32Array>>
  /** Bytes the weights take in memory (packed). */
  readonly bytes: number
}

/** One linear layer an adapter may attach to. */
export interface ModuleShape {
  readonly name: string
  readonly outFeatures: number
  readonly inFeatures: number
}

/**
 * Documents of one client. `text`: each file one document, or split at `separator`; `jsonl`, `csv`, `parquet`: one
 * document per row. `part`: only the rows that train, or only those held out.
 */
export type DataSource = { readonly part?: DataPart } & (
  | { readonly kind: "text"; readonly paths: readonly string[]; readonly separator?: string }
  | {
      readonly kind: "jsonl" | "csv" | "parquet"
      readonly paths: readonly string[]
      readonly fields?: DataFields
      /**
       * Default: conversations are written by the model's chat template where it has one, plainly where not; prompts
       * and responses are put together as they are. True: prompts and responses become conversations of one question
       * too, and a model without a template is refused. False: conversations are written plainly whatever the model
       * has.
       */
      readonly chatTemplate?: boolean
    }
  | { readonly kind: "documents"; readonly documents: readonly string[] }
)

/**
 * Names of the columns: `text` alone, `messages` alone, or `prompt` and `response` (loss on the response where the plan
 * says so).
 */
export interface DataFields {
  readonly text?: string
  readonly messages?: string
  readonly prompt?: string
  readonly response?: string
}

export interface LoraModule extends ModuleShape {
  readonly rank: number
  readonly alpha: number
}

/**
 * Local training: AdamW, schedule, clipping, accumulation, packing with segment masks (algorithms.md, "Local
 * training").
 */
export interface TrainingSettings {
  readonly steps: number
  readonly batch: number
  /** Tokens per row; documents are packed into rows. */
  readonly context: number
  readonly accumulate: number
  readonly learningRate: number
  readonly schedule: "constant" | "linear" | "cosine"
  readonly warmupSteps: number
  readonly clipNorm: number
  readonly weightDecay: number
  readonly lossOn: "all" | "response"
  readonly dropout: number
  /** uint32: data order, dropout and, unless `initSeed` says otherwise, initial A come from it. */
  readonly seed: number
  /** uint32: initial A comes from it (see initialA); clients that share it start from the same A. Default: `seed`. */
  readonly initSeed?: number
  /** Only B is trained, A stays as it began (FFA-LoRA, arXiv:2403.12313). Default false. */
  readonly freezeA?: boolean
  /**
   * FedProx (Li et al. 2020, arXiv:1812.06127, equation 2): mu/2 ||w - w_start||² joins what is minimised; losses are
   * told without it. Default 0: no such term.
   */
  readonly proximal?: number
  /** The result tells the importance of every rank-one triplet (`scores`). Default false. */
  readonly reportScores?: boolean
  /** The global adapter is added to the float base for this job instead of running beside it. Default false. */
  readonly mergeGlobal?: boolean
  readonly compute: Precision
  /**
   * Keep only each block's input for the gradient and compute the rest again (Chen et al. 2016, arXiv:1604.06174): less
   * memory, about a third more time, the same factors to the bit. Default false.
   */
  readonly gradientCheckpointing?: boolean
}

export interface TrainingJob {
  readonly base: Base
  readonly globalAdapter?: Adapter
  readonly modules: readonly LoraModule[]
  readonly scaling: ScalingRule
  readonly settings: TrainingSettings
  /** Passes over the data; where given, `settings.steps` is ignored and follows from the rows. */
  readonly epochs?: number
  readonly data: DataSource
  /**
   * Scored with the same `lossOn` before the first step, every `everySteps` steps (default: a fifth of all) and after
   * the last (`onHeldOut`).
   */
  readonly heldOut?: { readonly data: DataSource; readonly everySteps?: number }
  /** Start from this adapter instead of A ~ Kaiming uniform, B = 0. */
  readonly initial?: Adapter
  /**
   * File the state is saved to every `everySteps` steps and resumed from (a checkpoint of another job is
   * CHECKPOINT_MISMATCH).
   */
  readonly checkpoint?: { readonly path: string; readonly everySteps: number }
}

export interface TrainingProgress {
  readonly step: number
  readonly steps: number
  /** Mean loss of this step's tokens, natural log. */
  readonly loss: number
  readonly learningRate: number
  readonly tokensPerSecond: number
}

export interface TrainingResult {
  readonly adapter: Adapter
  /** Tokens of the client's data set (one pass): what the recipe weighs by. */
  readonly dataTokens: number
  readonly dataExamples: number
  readonly steps: number
  readonly firstLoss: number
  readonly lastLoss: number
  readonly tokensPerSecond: number
  readonly resumedFromStep: number
  /** With `reportScores`: sensitivity (AdaLoRA, arXiv:2303.10512) of every module's triplets, by its name. */
  readonly scores?: readonly ModuleScore[]
}

/** A score on held-out data during training. */
export interface HeldOutScore extends EvaluationResult {
  /** Steps done; 0: the base and the adapter training started from. */
  readonly step: number
  /** The factors that were scored; they go on changing where training runs in this thread. */
  readonly adapter: Adapter
}

export interface EvaluationJob {
  readonly base: Base
  /** Applied in order, each with its own scale (a global adapter, a local one). */
  readonly adapters?: readonly Adapter[]
  readonly data: DataSource
  /** Which tokens count; the default is all. */
  readonly lossOn?: TrainingSettings["lossOn"]
  /** Window in tokens; the default is the model's context length. */
  readonly context?: number
  readonly compute?: Precision
}

/** Token-weighted: natural log, mean over predicted tokens; perplexity = exp(loss). */
export interface EvaluationResult {
  readonly loss: number
  readonly perplexity: number
  /** Share of the predicted tokens that are the model's first choice. */
  readonly accuracy: number
  readonly tokens: number
}

/** How the next token is chosen; see sampleToken for the order and the papers. */
export interface SamplingSettings {
  /** 0: always the best (greedy); 1: as the model says. */
  readonly temperature: number
  /** Only so many of the best. */
  readonly topK?: number
  /** Only the best that together reach this probability, above 0 to 1. */
  readonly topP?: number
  /** Only those with at least this share of the best one's probability, 0 to 1. */
  readonly minP?: number
  /** Above 1: tokens of the prompt and the answer so far become less likely. */
  readonly repetitionPenalty?: number
  /** uint32: the same seed, prompt and settings give the same answer on the same kind of machine. */
  readonly seed: number
}

export interface GenerationJob {
  readonly base: Base
  /** Applied in order, each with its own scale (a global adapter, a local one). */
  readonly adapters?: readonly Adapter[]
  /** Each is continued by itself; where a chat template is to be used it has been. */
  readonly prompts: readonly string[]
  /** Tokens per answer, at most. */
  readonly maxTokens: number
  /** Default: greedy. */
  readonly sampling?: SamplingSettings
  /** An answer ends before any of these texts. */
  readonly stop?: readonly string[]
  /** Go on behind a token that ends a document: for measurements. */
  readonly ignoreEnd?: boolean
  /**
   * Tokens of prompt and answer that the model reads, at most; default: the model's context length. An answer's last
   * token is not read: both together may be one longer.
   */
  readonly context?: number
  /** Prompts answered side by side, default 8. */
  readonly batch?: number
  readonly compute?: Precision
}

/** One token of one answer. */
export interface GeneratedToken {
  /** Which prompt, from 0. */
  readonly index: number
  readonly id: number
  /** What is certain of the text by now: whole characters; may be empty, and holds all that is left at the end. */
  readonly text: string
}

export interface GeneratedText {
  /** What the texts of its tokens are together: without the stop string, without the token that ends it. */
  readonly text: string
  /** Without the token that ends it. */
  readonly ids: readonly number[]
  readonly promptTokens: number
  /** A token that ends a document, a stop string, or `maxTokens` or a full context. */
  readonly finish: "end" | "stop" | "length"
}

export interface GenerationResult {
  /** In the order of the prompts. */
  readonly answers: readonly GeneratedText[]
  /** Reading prompts, all together. */
  readonly promptTokensPerSecond: number
  /** Writing answers after their first token, all side by side together. */
  readonly tokensPerSecond: number
}

/** A question and its possible answers, one of them right. */
export interface ChoiceQuestion {
  readonly prompt: string
  /** What every answer begins with; tokenized apart from the prompt, as a response is in training. */
  readonly lead?: string
  /** At least two. */
  readonly choices: readonly string[]
  /** Index of the right one. */
  readonly answer: number
}

export interface ChoiceJob {
  readonly base: Base
  readonly adapters?: readonly Adapter[]
  readonly questions: readonly ChoiceQuestion[]
  /** Tokens of prompt and choice together, at most; default: the model's context length. */
  readonly context?: number
  readonly compute?: Precision
}

export interface ChoiceResult {
  /** Share of questions, 0 to 1, whose right choice has the highest log-likelihood. */
  readonly accuracy: number
  /** The same with the log-likelihood over the choice's UTF-8 bytes. */
  readonly accuracyPerByte: number
  /** Questions that lost the beginning of their prompt. */
  readonly shortened: number
  /** Per question, per choice: natural log, summed over tokens. */
  readonly logLikelihoods: readonly (readonly number[])[]
}

/** How much of a job is done, in units that all take about as long. */
export interface JobCount {
  readonly done: number
  readonly total: number
}

/** What every long call takes. An abort rejects with the signal's reason; it is not an error to log. */
export interface JobOptions {
  readonly signal?: AbortSignal
  /** Training, after every step. */
  readonly onProgress?: (progress: TrainingProgress) => void
  /** Generation, after every token. */
  readonly onToken?: (token: GeneratedToken) => void
  /** Evaluation (rows), generation (answers) and judging (questions). */
  readonly onCount?: (count: JobCount) => void
  /** Training with held-out data, at every score. */
  readonly onHeldOut?: (score: HeldOutScore) => void
  /** Something the user should know about the data. */
  readonly onNote?: (note: string) => void
}

/**
 * Worker threads that train, evaluate and generate; jobs queue for a free worker. Results do not depend on workers or
 * threads.
 */
export interface TunerPool {
  /** Which kernels run, for people and reports: "native avx512bf16", "reference cpu". */
  readonly kernels: string
  train(job: TrainingJob, options?: JobOptions): Promise<TrainingResult>
  evaluate(job: EvaluationJob, options?: JobOptions): Promise<EvaluationResult>
  generate(job: GenerationJob, options?: JobOptions): Promise<GenerationResult>
  judge(job: ChoiceJob, options?: JobOptions): Promise<ChoiceResult>
  close(): Promise<void>
}
