import { frozenArrays } from "@lamina/kernels"
import type { WeightFormat } from "@lamina/kernels"
import { hasErrorCode } from "@lamina/protocol/errors"

import type { BasePrecision, ModelConfig, ModuleShape } from "../api.js"
import type { JsonObject } from "../files/json.js"
import { isJsonObject } from "../files/json.js"
import { noneWhereMissing } from "../tokenizer/tokenizer-files.js"
import { openGguf } from "../gguf/gguf-file.js"
import { showValue } from "../gguf/gguf-value.js"
import { familyOf } from "../model/families/families.js"
import { checkTensors } from "./load-base.js"
import { parseModelConfig } from "./model-config.js"
import type { CheckpointConfig } from "./model-config.js"
import { openModelFiles } from "./model-files.js"
import type { ModelFiles } from "./model-files.js"
import { linearShapes, vectorShapes } from "./module-shapes.js"
import { prefixedStore } from "./prefixed-store.js"
import { storedFormat } from "./read-linear.js"
import type { TensorStore } from "./safetensors-file.js"
import { tensorBytes } from "./safetensors-header.js"

/** One tensor of a model's files. */
interface TensorEntry {
  readonly name: string
  readonly dtype: string
  readonly shape: readonly number[]
  readonly bytes: number
}

/** What a base takes in memory; bytes. */
interface MemoryNeed {
  /** The base alone, by the precision it is held in. */
  readonly hold: Readonly<Record<BasePrecision, number>>
  readonly train: {
    readonly rank: number
    readonly tokens: number
    /** Trained numbers with an adapter on every linear of every block. */
    readonly parameters: number
    /** Factors, their gradients and AdamW's two moments, in f32. */
    readonly adapter: number
    /** What the forward pass of so many tokens keeps for the gradient, without gradient checkpointing. */
    readonly activations: number
  }
}

/** A model as its files describe it. */
export interface ModelReport {
  readonly path: string
  readonly kind: ModelFiles["kind"]
  /** `model_type` of config.json. */
  readonly architecture: string
  /** Set when Lamina can compute with its weights. */
  readonly config: ModelConfig | undefined
  /** Why the model cannot be used: what is wrong with its weights, its tokenizer or its chat template. */
  readonly problem: string | undefined
  /** Numbers the model is made of, a tied head once. */
  readonly parameters: number
  /** Bytes of all tensors. */
  readonly bytes: number
  readonly tensors: readonly TensorEntry[]
  readonly tokens: number | undefined
  readonly chatTemplate: boolean
  /** Metadata of a GGUF file, key and value as text; long values are cut. */
  readonly metadata: readonly (readonly [string, string])[]
  readonly memory: MemoryNeed | undefined
}

/**
 * Reads what a model's files say about it, no weights. An architecture that Lamina does not compute, or a tokenizer or
 * chat template that it does not read, is a `problem`, not a failure. FILE_UNREADABLE, MODEL_CONFIG,
 * WEIGHTS_MISSING, WEIGHTS_MALFORMED, WEIGHTS_DTYPE.
 */
export async function inspectModel(path: string, adapter: { rank: number; tokens: number }): Promise<ModelReport> {
  const files = await openModelFiles(path)
  try {
    const store = await files.store()
    const json = await optional(files.config())
    const checked = await optional(Promise.resolve().then(() => check(files, store, json)))
    const tensors = [...store.tensors].map(([name, { dtype, shape, bytes }]) => ({ name, dtype, shape, bytes }))
    const config = isFailure(checked) ? undefined : checked
    const tokens = await optional(tokenCount(files))
    const template = await optional(files.chatTemplate())
    return {
      ...{ path: files.path, kind: files.kind, tensors },
      architecture: isFailure(json) ? "unknown" : String(json.model_type ?? "unknown").slice(0, 80),
      config: config?.model,
      problem: [checked, tokens, template].find(isFailure)?.problem,
      parameters: config === undefined ? sum(tensors.map(elements)) : parametersOf(config),
      bytes: sum(tensors.map(({ bytes }) => bytes)),
      tokens: isFailure(tokens) ? undefined : tokens,
      chatTemplate: typeof template === "string",
      metadata: files.kind === "gguf" ? await metadataOf(files) : [],
      memory: config === undefined ? undefined : memoryOf(config, store, adapter),
    }
  } finally {
    await files.close()
  }
}

interface Failure {
  readonly problem: string
}

/** The value, or the message of a failure that has a code. */
async function optional<T>(value: Promise<T>): Promise<T | Failure> {
  try {
    return await value
  } catch (error) {
    if (hasErrorCode(error)) return { problem: error.message }
    throw error
  }
}

function isFailure(value: unknown): value is Failure {
  return isJsonObject(value) && typeof value.problem === "string" && Object.keys(value).length === 1
}

function check(files: ModelFiles, store: TensorStore, json: JsonObject | Failure): CheckpointConfig | Failure {
  if (isFailure(json)) return json
  const config = parseModelConfig(json, files.configPath)
  checkTensors(files.path, config, prefixedStore(store, familyOf(config.model).names))
  return config
}

/** Numbers that the model computes with: a file may hold more, as masks or the copy of a tied head. */
function parametersOf({ model }: CheckpointConfig): number {
  const matrices = linearShapes(model).map(({ outFeatures, inFeatures }) => outFeatures * inFeatures)
  return sum(matrices) + sum(vectorShapes(model).map(({ size }) => size))
}

function memoryOf(
  config: CheckpointConfig,
  asStored: TensorStore,
  { rank, tokens }: { rank: number; tokens: number },
): MemoryNeed {
  const { model, quantization } = config
  const store = prefixedStore(asStored, familyOf(model).names)
  const linears = linearShapes(model)
  const packed = (formatOf: (shape: ModuleShape) => WeightFormat): number =>
    sum(linears.map((shape) => packedBytes(formatOf(shape), shape)))
  const of = (format: WeightFormat): number => packed(() => format)
  const trained = linears.filter(({ name }) => /\.\d+\./.test(name)) // embedding and head are in no layer
  const parameters = sum(trained.map(({ outFeatures, inFeatures }) => rank * (outFeatures + inFeatures)))
  const { hidden, heads, kvHeads, headDim, ffn, layers } = model
  const { qNorm, linears: own } = familyOf(model).names
  // x, q, k, v, attended, middle, gate and up of each block (model/block.ts), and q and k before norms of their own
  const perHead = (qNorm === undefined ? 2 : 3) * headDim
  const kept = 2 * hidden + perHead * (heads + kvHeads) + (own.gate === undefined ? 1 : 2) * ffn
  return {
    hold: {
      stored: packed(({ name }) => storedFormat(store, name, quantization)),
      ...{ f32: of("f32"), bf16: of("bf16"), f16: of("f16"), q8: of("q8"), q4: of("q4"), nf4: of("nf4") },
    },
    train: { rank, tokens, parameters, adapter: 16 * parameters, activations: 4 * tokens * layers * kept },
  }
}

function packedBytes(format: WeightFormat, { outFeatures, inFeatures }: ModuleShape): number {
  return sum(frozenArrays(format, outFeatures, inFeatures).map(({ element, shape }) => tensorBytes(element, shape)))
}

async function tokenCount(files: ModelFiles): Promise<number | undefined> {
  const tokenizer = await files.tokenizer().catch(noneWhereMissing)
  if (!isJsonObject(tokenizer?.model)) return undefined
  const { vocab } = tokenizer.model
  const inModel = Array.isArray(vocab) ? vocab.length : isJsonObject(vocab) ? Object.keys(vocab).length : 0
  const { added_tokens: added } = tokenizer
  const known = isJsonObject(vocab) ? vocab : {}
  const more = Array.isArray(added)
    ? added.filter((token) => isJsonObject(token) && !Object.hasOwn(known, String(token.content))).length
    : 0
  return inModel + more
}

async function metadataOf(files: ModelFiles): Promise<(readonly [string, string])[]> {
  const file = await openGguf(files.configPath)
  try {
    return [...file.metadata].map(([key, value]) => [
      key,
      Array.isArray(value) ? `${value.length} values` : showValue(value),
    ])
  } finally {
    await file.close()
  }
}

function elements({ shape }: { shape: readonly number[] }): number {
  return shape.reduce((product, n) => product * n, 1)
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
