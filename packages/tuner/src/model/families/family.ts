import type { ModelConfig } from "../../api.js"
import type { ConfigFields } from "../../weights/config-fields.js"

/** The linear layers a block may have; `qkv` is q, k and v in one, rows in this order. */
export type LinearName = "qkv" | "q" | "k" | "v" | "o" | "gate" | "up" | "down"

/** What one family of decoders has of its own; everything else is the same for all (model/decoder.ts). */
export interface Family {
  /** What config.json calls it. */
  readonly modelClass: string
  /** Modules by the names transformers gives them, without `.weight`. */
  readonly names: FamilyNames
  /** Root-mean-square norms, or layer norms with a bias. */
  readonly norm: "rms" | "layer"
  /** The blocks' linears are stored (in, out), as transformers' Conv1D has them. */
  readonly transposed: boolean
  /** Tensors of old checkpoints that follow from the config, without `prefix`. */
  readonly redundant: RegExp
  /** What config.json says. MODEL_CONFIG, MODEL_UNSUPPORTED. */
  readonly readConfig: (fields: ConfigFields) => Omit<ModelConfig, "architecture">
}

export interface FamilyNames {
  /** First part of every name but the head's; some checkpoints leave it out. Empty: never left out. */
  readonly prefix: string
  readonly embed: string
  /** Learned positions. */
  readonly positions?: string
  /** `layers`.3.path is a module of block 3. */
  readonly layers: string
  /** Paths inside a block, in the order of the forward pass. */
  readonly linears: Readonly<Partial<Record<LinearName, string>>>
  readonly attentionNorm: string
  readonly mlpNorm: string
  /** Norms of every head of q and k before they are turned. */
  readonly qNorm?: string
  readonly kNorm?: string
  readonly norm: string
  readonly head: string
}
