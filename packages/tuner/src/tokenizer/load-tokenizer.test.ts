import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

import { loadTokenizer } from "./load-tokenizer.js"

const vectors = fileURLToPath(new URL("../../../../test/vectors/", import.meta.url))
const tiny = fileURLToPath(new URL("../../../../models/tiny/", import.meta.url))
const STYLES = ["gpt2", "llama3", "smollm", "digits", "llama2-normalizer", "llama2-metaspace"]

type Case = [text: string, ids: number[], decoded?: string]

async function readCases(style: string): Promise<Case[]> {
  return JSON.parse(await readFile(join(vectors, "tokenizer", style, "cases.json"), "utf8")) as Case[]
}

test.each(STYLES)("ids are those of the Rust tokenizers (%s)", async (style) => {
  const tokenizer = await loadTokenizer(join(vectors, "tokenizer", style))
  const cases = await readCases(style)
  expect(cases.length).toBeGreaterThan(200)
  for (const [text, ids] of cases) expect([text, [...tokenizer.encode(text)]]).toEqual([text, ids])
})

test.each(STYLES)("ids decode to the text they came from (%s)", async (style) => {
  const tokenizer = await loadTokenizer(join(vectors, "tokenizer", style))
  for (const [text, ids, decoded] of await readCases(style)) {
    if (text.includes("\ufeff") && style.startsWith("llama2")) continue // see the next test
    expect(tokenizer.decode(ids)).toBe(decoded ?? text)
  }
})

test("a byte fallback decoder loses U+FEFF, which the library takes for a byte order mark", async () => {
  const tokenizer = await loadTokenizer(join(vectors, "tokenizer", "llama2-normalizer"))
  expect(tokenizer.decode(tokenizer.encode("a\ufeffb"))).toBe("ab")
})

test("the shipped tokenizer agrees with the oracle and ends documents with token 0", async () => {
  const tokenizer = await loadTokenizer(tiny)
  const oracle = JSON.parse(await readFile(join(vectors, "model/tiny/vectors.json"), "utf8")) as {
    tokenizer: { text: string; ids: number[] }[]
  }
  expect(tokenizer.vocabularySize).toBe(4096)
  expect(tokenizer.eosId).toBe(0) // eos_token_id of config.json
  for (const { text, ids } of oracle.tokenizer) expect([text, [...tokenizer.encode(text)]]).toEqual([text, ids])
})

test("words of a text without a pre-tokenizer are merged alone, so a megabyte takes seconds", async () => {
  const tokenizer = await loadTokenizer(join(vectors, "tokenizer", "llama2-normalizer"))
  const text = "we hold these truths to be self-evident ".repeat(25_000)
  const ids = tokenizer.encode(text)
  // the 25,000 repetitions are alike but for the first, which gets the leading space mark, and the last, which ends
  // with the space
  const once = tokenizer.encode("we hold these truths to be self-evident we hold these truths to be self-evident")
  expect(ids.subarray(0, once.length)).toEqual(once)
  expect(ids.length).toBe((once.length / 2) * 25_000 + 1)
})

describe("a folder", () => {
  let folder = ""
  beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), "lamina-tokenizer-"))))
  afterEach(() => rm(folder, { recursive: true }))

  const gpt2 = (): Promise<string> => readFile(join(vectors, "tokenizer/gpt2/tokenizer.json"), "utf8")
  const write = (content: unknown, file = "tokenizer.json"): Promise<void> =>
    writeFile(join(folder, file), typeof content === "string" ? content : JSON.stringify(content))

  test("without tokenizer.json is refused", async () => {
    await expect(loadTokenizer(folder)).rejects.toMatchObject({ code: "TOKENIZER_MISSING" })
  })

  test("without any other file has no end token", async () => {
    await copyFile(join(vectors, "tokenizer/gpt2/tokenizer.json"), join(folder, "tokenizer.json"))
    expect(await loadTokenizer(folder)).not.toHaveProperty("eosId")
  })

  test.each([
    ["a string", "<|end|>"],
    ["an object", { content: "<|end|>" }],
  ])("names its end token in tokenizer_config.json, as %s", async (_, token) => {
    await write(await gpt2())
    await write({ eos_token: token }, "tokenizer_config.json")
    expect((await loadTokenizer(folder)).eosId).toBe(0) // the only special token was added first
  })

  test("with an end token the vocabulary does not have is refused", async () => {
    await write(await gpt2())
    await write({ eos_token: "<|nothing|>" }, "tokenizer_config.json")
    await expect(loadTokenizer(folder)).rejects.toMatchObject({ code: "TOKENIZER_MALFORMED" })
  })

  test.each([-1, 0.5, "0", [0, null]])("with eos_token_id %j is refused", async (id) => {
    await write(await gpt2())
    await write({ eos_token_id: id }, "config.json")
    await expect(loadTokenizer(folder)).rejects.toMatchObject({
      code: "TOKENIZER_MALFORMED",
      message: expect.stringContaining("eos_token_id: expected a token id or a list of them") as string,
    })
  })

  interface Parts {
    model: Record<string, unknown>
    [key: string]: unknown
  }
  const malformed: [string, (json: Parts) => unknown][] = [
    ["no JSON", () => "{"],
    ["a list", () => []],
    ["no model", ({ model: _, ...rest }) => rest],
    ["no vocabulary", (json) => ({ ...json, model: { ...json.model, vocab: undefined } })],
    ["an empty vocabulary", (json) => ({ ...json, model: { ...json.model, vocab: {} }, added_tokens: [] })],
    ["a negative id", (json) => ({ ...json, model: { ...json.model, vocab: { a: -1 } } })],
    ["an id past 2^20", (json) => ({ ...json, model: { ...json.model, vocab: { a: 2 ** 20 } } })],
    ["a fractional id", (json) => ({ ...json, model: { ...json.model, vocab: { a: 0.5 } } })],
    ["no merges", (json) => ({ ...json, model: { ...json.model, merges: undefined } })],
    ["merges of numbers", (json) => ({ ...json, model: { ...json.model, merges: [1, 2] } })],
    ["added tokens that are no list", (json) => ({ ...json, added_tokens: 7 })],
    ["an added token without text", (json) => ({ ...json, added_tokens: [{ id: 3 }] })],
    ["an unknown pre-tokenizer", (json) => ({ ...json, pre_tokenizer: { type: "Split2" } })],
    ["a pattern that is none", (json) => ({ ...json, pre_tokenizer: { type: "Split", pattern: { Regex: "(" } } })],
    ["an unknown decoder", (json) => ({ ...json, decoder: { type: "x" } })],
  ]
  test.each(malformed)("with %s is refused as malformed", async (_, mutate) => {
    await write(mutate(JSON.parse(await gpt2()) as Parts))
    await expect(loadTokenizer(folder)).rejects.toMatchObject({ name: "LaminaError", code: "TOKENIZER_MALFORMED" })
  })

  const unsupported: [string, (json: Parts) => unknown][] = [
    ["model.type", (json) => ({ ...json, model: { ...json.model, type: "Unigram" } })],
    ["model.dropout", (json) => ({ ...json, model: { ...json.model, dropout: 0.1 } })],
    ["single_word", (json) => ({ ...json, added_tokens: [{ id: 1, content: "x", single_word: true }] })],
  ]
  test.each(unsupported)("with a %s we do not compute is refused by name", async (key, mutate) => {
    await write(mutate(JSON.parse(await gpt2()) as Parts))
    await expect(loadTokenizer(folder)).rejects.toMatchObject({
      code: "MODEL_UNSUPPORTED",
      message: expect.stringContaining(key) as string,
    })
  })
})

test("decoding an id that is none is a bug of the caller's", async () => {
  const tokenizer = await loadTokenizer(join(vectors, "tokenizer", "gpt2"))
  expect(() => tokenizer.decode([500])).toThrow(RangeError)
  expect(() => tokenizer.decode([-1])).toThrow(RangeError)
  expect(tokenizer.decode([])).toBe("")
})
