import { readdir, realpath, stat } from "node:fs/promises"
import { dirname, join } from "node:path"

import { LaminaError } from "@lamina/protocol/errors"

import { parseJsonObject } from "../files/json.js"
import type { JsonObject } from "../files/json.js"
import { isThere, readBounded } from "../files/read-bounded.js"
import { architectureOf, ggufConfig } from "../gguf/gguf-config.js"
import { openGguf } from "../gguf/gguf-file.js"
import type { GgufFile } from "../gguf/gguf-file.js"
import { ggufStore } from "../gguf/gguf-store.js"
import { ggufSpecialTokens, ggufTokenizer } from "../gguf/gguf-tokenizer.js"
import type { SpecialTokens } from "../gguf/gguf-tokenizer.js"
import { Metadata } from "../gguf/metadata.js"
import {
  hasTokenizerJson,
  readChatTemplate,
  readSpecialTokens,
  readTokenizerJson,
} from "../tokenizer/tokenizer-files.js"
import { hasWeights, noModel, openCheckpoint, weightFiles } from "./checkpoint-files.js"
import type { TensorStore } from "./safetensors-file.js"

/** Real ones are under 2 KB. */
const CONFIG_BYTES_MAX = 2 ** 20

/**
 * A model on disk in transformers' words, whichever files it comes as. Every part is read when it is asked for, so that
 * a folder with a tokenizer alone has a tokenizer.
 */
export interface ModelFiles {
  /** What was given, as an absolute path without links. */
  readonly path: string
  readonly kind: "transformers" | "gguf"
  /** File whose contents `config` is, for messages. */
  readonly configPath: string
  /** Absolute paths of the files that make the base: config and weights. WEIGHTS_MISSING, WEIGHTS_MALFORMED. */
  files(): Promise<string[]>
  /** config.json, or what it would be. MODEL_CONFIG, MODEL_UNSUPPORTED, WEIGHTS_MALFORMED, FILE_UNREADABLE. */
  config(): Promise<JsonObject>
  /** All tensors under transformers' names; `close` closes it too. */
  store(): Promise<TensorStore>
  /** tokenizer.json, or what it would be. TOKENIZER_MISSING, TOKENIZER_MALFORMED, MODEL_UNSUPPORTED. */
  tokenizer(): Promise<JsonObject>
  /** TOKENIZER_MALFORMED, MODEL_CONFIG. */
  specialTokens(): Promise<SpecialTokens>
  /** Jinja source; undefined where the model has none. TOKENIZER_MALFORMED, MODEL_CONFIG. */
  chatTemplate(): Promise<string | undefined>
  close(): Promise<void>
}

/**
 * Opens a model: a folder as transformers writes it, a folder that holds one GGUF file (a tokenizer.json beside it goes
 * before the file's own), or a GGUF file. FILE_UNREADABLE, WEIGHTS_MISSING, WEIGHTS_MALFORMED, WEIGHTS_DTYPE,
 * MODEL_UNSUPPORTED. The caller closes it.
 */
export async function openModelFiles(path: string): Promise<ModelFiles> {
  const real = await realpath(path).catch((cause: Error) => {
    throw new LaminaError("FILE_UNREADABLE", `${path}: expected a model's folder or GGUF file, ${cause.message}`, {
      cause,
    })
  })
  if (!(await stat(real)).isDirectory()) return ggufModel(real, await openGguf(real))
  const file = (await hasWeights(real)) ? undefined : await onlyGguf(real)
  return file === undefined ? folderModel(real) : ggufModel(real, await openGguf(join(real, file)))
}

/** The one GGUF file of a folder; undefined without any. MODEL_UNSUPPORTED for several. */
async function onlyGguf(folder: string): Promise<string | undefined> {
  const names = await readdir(folder).catch((cause: Error) => {
    throw new LaminaError("FILE_UNREADABLE", `${folder}: ${cause.message}`, { cause })
  })
  const found = names.filter((name) => /\.gguf$/i.test(name) && !name.startsWith(".")).sort()
  if (found.length <= 1) return found[0]
  const listed = `${found.slice(0, 4).join(", ")}${found.length > 4 ? ", …" : ""}`
  throw new LaminaError("MODEL_UNSUPPORTED", `${folder}: expected one GGUF file, got ${listed}`, {
    hint: "name the file; the parts of a split model are joined with llama-gguf-split --merge",
  })
}

function folderModel(folder: string): ModelFiles {
  const configPath = join(folder, "config.json")
  const stores: TensorStore[] = []
  const config = async (): Promise<JsonObject> => {
    if (!(await isThere(configPath)) && !(await hasWeights(folder))) throw noModel(folder, "MODEL_CONFIG")
    const bounds = { bytesMax: CONFIG_BYTES_MAX, missing: "MODEL_CONFIG", malformed: "MODEL_CONFIG" } as const
    return parseJsonObject(await readBounded(configPath, bounds), configPath, "MODEL_CONFIG")
  }
  const tokenizer = once(() => readTokenizerJson(folder))
  return {
    path: folder,
    kind: "transformers",
    configPath,
    files: async () => [configPath, ...(await weightFiles(folder)).map((name) => join(folder, name))],
    config,
    store: async () => {
      const store = await openCheckpoint(folder)
      stores.push(store)
      return store
    },
    tokenizer,
    specialTokens: async () =>
      readSpecialTokens(folder, {
        tokenizer: await tokenizer(),
        config: (await isThere(configPath)) ? await config() : undefined,
      }),
    chatTemplate: () => readChatTemplate(folder),
    close: async () => {
      for (const store of stores.splice(0)) await store.close()
    },
  }
}

async function ggufModel(path: string, file: GgufFile): Promise<ModelFiles> {
  const folder = dirname(file.path)
  const beside = path === folder && (await hasTokenizerJson(folder))
  const own = (): Promise<JsonObject> => Promise.resolve().then(() => ggufTokenizer(file))
  const tokenizer = once(() => (beside ? readTokenizerJson(folder) : own()))
  const config = once(() => ggufConfig(file))
  return {
    path,
    kind: "gguf",
    configPath: file.path,
    files: () => Promise.resolve([file.path]),
    config,
    store: () => Promise.resolve().then(() => ggufStore(file, architectureOf(file))),
    tokenizer,
    specialTokens: async () =>
      beside
        ? readSpecialTokens(folder, { tokenizer: await tokenizer(), config: await config() })
        : ggufSpecialTokens(file),
    chatTemplate: async () =>
      (beside ? await readChatTemplate(folder) : undefined) ?? new Metadata(file).text("tokenizer.chat_template"),
    close: () => file.close(),
  }
}

/** The same promise every time. */
function once<Value>(make: () => Promise<Value>): () => Promise<Value> {
  let made: Promise<Value> | undefined
  return () => (made ??= make())
}
