import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

import { loadTokenizer } from "../tokenizer/load-tokenizer.js"
import { openModelFiles } from "../weights/model-files.js"
import { encodeGguf } from "./encode-gguf.js"
import type { GgufEntry } from "./encode-gguf.js"

const vectors = fileURLToPath(new URL("../../../../test/vectors/tokenizer/", import.meta.url))

interface TokenizerJson {
  readonly added_tokens: readonly { readonly id: number; readonly content: string }[]
  readonly model: { readonly vocab: Readonly<Record<string, number>>; readonly merges: readonly (string | string[])[] }
}

let folder = ""
beforeAll(async () => (folder = await mkdtemp(join(tmpdir(), "lamina-gguf-tokenizer-"))))
afterAll(() => rm(folder, { recursive: true }))

const readStyle = async (style: string): Promise<TokenizerJson> =>
  JSON.parse(await readFile(join(vectors, style, "tokenizer.json"), "utf8")) as TokenizerJson

async function write(metadata: Record<string, GgufEntry>): Promise<string> {
  const path = join(folder, "model.gguf")
  await writeFile(
    path,
    Buffer.concat(encodeGguf({ "general.architecture": { string: "llama" }, ...metadata }, new Map())),
  )
  return path
}

/** The vocabulary of a tokenizer.json in GGUF's words: tokens by id, control ones of type 3. */
function vocabulary({ model, added_tokens: added }: TokenizerJson): Record<string, GgufEntry> {
  const tokens = Object.entries(model.vocab)
    .sort(([, left], [, right]) => left - right)
    .map(([token]) => token)
  const special = new Set(added.map(({ content }) => content))
  return {
    "tokenizer.ggml.tokens": { strings: tokens },
    "tokenizer.ggml.token_type": { i32s: tokens.map((token) => (special.has(token) ? 3 : byteOrNormal(token))) },
  }
}

function byteOrNormal(token: string): number {
  return /^<0x[0-9A-F]{2}>$/.test(token) ? 6 : 1
}

const pairs = ({ model }: TokenizerJson): string[] =>
  model.merges.map((merge) => (typeof merge === "string" ? merge : merge.join(" ")))

test.each([
  ["gpt2", "gpt-2"],
  ["llama3", "llama-bpe"],
  ["smollm", "smollm"],
])("ids of a byte-level model are those of its tokenizer.json (%s)", async (style, pre) => {
  const json = await readStyle(style)
  const path = await write({
    ...vocabulary(json),
    "tokenizer.ggml.model": { string: "gpt2" },
    "tokenizer.ggml.pre": { string: pre },
    "tokenizer.ggml.merges": { strings: pairs(json) },
  })
  const tokenizer = await loadTokenizer(path)
  const cases = JSON.parse(await readFile(join(vectors, style, "cases.json"), "utf8")) as [string, number[]][]
  expect(cases.length).toBeGreaterThan(200)
  for (const [text, ids] of cases) expect([text, [...tokenizer.encode(text)]]).toEqual([text, ids])
})

test("a SentencePiece model's merges come back from its scores", async () => {
  const style = "llama2-normalizer"
  const json = await readStyle(style)
  // SentencePiece's BPE scores a token by when it was merged: 0, -1, -2, ...
  const made = pairs(json).map((pair) => pair.replace(" ", ""))
  const tokens = Object.keys(json.model.vocab).length
  const scores = new Array<number>(tokens).fill(0)
  for (const [rank, token] of made.entries()) {
    const id = json.model.vocab[token] ?? -1
    if (scores[id] === 0) scores[id] = -rank
  }
  const path = await write({
    ...vocabulary(json),
    "tokenizer.ggml.model": { string: "llama" },
    "tokenizer.ggml.scores": { f32s: scores },
    "tokenizer.ggml.unknown_token_id": { u32: 0 },
    "tokenizer.ggml.bos_token_id": { u32: 1 },
    "tokenizer.ggml.eos_token_id": { u32: 2 },
  })
  const tokenizer = await loadTokenizer(path)
  const cases = JSON.parse(await readFile(join(vectors, style, "cases.json"), "utf8")) as [string, number[]][]
  for (const [text, ids] of cases) expect([text, [...tokenizer.encode(text)]]).toEqual([text, ids])
  const files = await openModelFiles(path)
  expect(await files.specialTokens()).toEqual({ bosToken: "<s>", eosToken: "</s>", eosIds: [2], addBos: true })
  expect((await files.tokenizer()).post_processor).toMatchObject({ type: "TemplateProcessing" })
  await files.close()
})

const byteLevel: Record<string, GgufEntry> = {
  "tokenizer.ggml.model": { string: "gpt2" },
  "tokenizer.ggml.pre": { string: "gpt-2" },
  "tokenizer.ggml.tokens": { strings: ["a", "b", "ab", "<|eot_id|>", "<think>"] },
  "tokenizer.ggml.token_type": { i32s: [1, 1, 1, 3, 4] },
  "tokenizer.ggml.merges": { strings: ["a b"] },
  "tokenizer.ggml.eos_token_id": { u32: 1 },
}

const pieces: Record<string, GgufEntry> = {
  "tokenizer.ggml.model": { string: "llama" },
  "tokenizer.ggml.tokens": { strings: ["a", "b", "ab"] },
  "tokenizer.ggml.scores": { f32s: [0, 0, 0] },
}

test("control and user-defined tokens are found inside a text, and those that end an answer are named", async () => {
  const path = await write(byteLevel)
  const tokenizer = await loadTokenizer(path)
  expect([...tokenizer.encode("ab<|eot_id|>a<think>b")]).toEqual([2, 3, 0, 4, 1])
  const files = await openModelFiles(path)
  expect(await files.specialTokens()).toEqual({ eosToken: "b", eosIds: [1, 3], addBos: false })
  await files.close()
})

test.each<[string, string, Record<string, GgufEntry>]>([
  ["TOKENIZER_MISSING", "tokenizer.ggml.tokens", { "tokenizer.ggml.model": { string: "gpt2" } }],
  ["MODEL_UNSUPPORTED", "tokenizer.ggml.model", { ...byteLevel, "tokenizer.ggml.model": { string: "rwkv" } }],
  ["MODEL_UNSUPPORTED", "tokenizer.ggml.pre", { ...byteLevel, "tokenizer.ggml.pre": { string: "new-one" } }],
  ["MODEL_CONFIG", "tokenizer.ggml.scores", { ...byteLevel, "tokenizer.ggml.model": { string: "llama" } }],
  ["MODEL_CONFIG", "tokenizer.ggml.eos_token_id", { ...byteLevel, "tokenizer.ggml.eos_token_id": { u32: 5 } }],
  ["MODEL_CONFIG", "tokenizer.ggml.merges", { ...byteLevel, "tokenizer.ggml.merges": { u32: 5 } }],
  [
    "TOKENIZER_MALFORMED",
    "tokenizer.ggml.tokens",
    { ...byteLevel, "tokenizer.ggml.tokens": { strings: Array(5).fill("a") } },
  ],
  ["MODEL_CONFIG", "tokenizer.ggml.token_type", { ...byteLevel, "tokenizer.ggml.token_type": { i32s: [1, 1, 1] } }],
  ["MODEL_CONFIG", "unknown_token_id", { ...pieces, "tokenizer.ggml.unknown_token_id": { u32: 3 } }],
  [
    "TOKENIZER_MALFORMED",
    "token 2: expected at most 1024 characters, got 1025",
    { ...pieces, "tokenizer.ggml.tokens": { strings: ["a", "b", "a".repeat(1025)] } },
  ],
])("a tokenizer that cannot be made is refused with %s naming %s", async (code, key, metadata) => {
  await expect(write(metadata).then(loadTokenizer)).rejects.toMatchObject({
    code,
    message: expect.stringContaining(key) as string,
  })
})

test("a tokenizer.json beside the file goes before the file's own", async () => {
  const own = await mkdtemp(join(tmpdir(), "lamina-gguf-beside-"))
  const path = await write(byteLevel)
  await writeFile(join(own, "model.gguf"), await readFile(path))
  await writeFile(join(own, "tokenizer.json"), await readFile(join(vectors, "gpt2/tokenizer.json")))
  expect((await loadTokenizer(path)).vocabularySize).toBe(5)
  // the end token is the config's, which needs the weights
  await expect(loadTokenizer(own)).rejects.toMatchObject({ code: "WEIGHTS_MISSING" })
  await rm(own, { recursive: true })
})
