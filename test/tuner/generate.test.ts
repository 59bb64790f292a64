import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

import { initKernels, nativeAvailable } from "@lamina/kernels"
import type { Adapter } from "@lamina/protocol"
import { createTunerPool, evaluate, generate, loadBase, loadTokenizer, moduleShapes } from "@lamina/tuner"
import type { Base, GeneratedToken, GenerationJob, GenerationResult, Tokenizer } from "@lamina/tuner"
import * as tf from "@tensorflow/tfjs-core"

import { joinRows } from "../../packages/tuner/src/data/batches.js"
import { createDecoder, logitsOf } from "../../packages/tuner/src/model/decoder.js"

const folder = fileURLToPath(new URL("../../models/tiny/", import.meta.url))
const prompts = ["We the people of the United", "My fellow Americans,", "The state of the union is strong and the"]
const backend = nativeAvailable() ? "native" : "cpu"

let base: Base
let tokenizer: Tokenizer
beforeAll(async () => {
  await initKernels({ backend })
  base = await loadBase(folder, { precision: "stored" })
  tokenizer = await loadTokenizer(folder)
})

const answer = (job: Partial<GenerationJob>, onToken?: (token: GeneratedToken) => void): Promise<GenerationResult> =>
  generate({ base, prompts, maxTokens: 12, ...job }, onToken ? { onToken } : {})

const idsOf = ({ answers }: GenerationResult): number[][] => answers.map(({ ids }) => [...ids])

/** An adapter of rank 1 on every value projection, strong enough to change what is said. */
function adapterOn(seed: number): Adapter {
  const modules = moduleShapes(base.config, ["v_proj"]).map((shape) => ({
    ...{ ...shape, rank: 1, alpha: 2, scaling: "lora" as const },
    a: Float32Array.from({ length: shape.inFeatures }, (_, i) => Math.sin(seed + i) / 2),
    b: Float32Array.from({ length: shape.outFeatures }, (_, i) => Math.cos(seed * i) / 2),
  }))
  return { modules }
}

/** Greedy continuation without a cache: the whole sequence again for every token. */
function wholeSequence(prompt: string, count: number, adapters: readonly Adapter[] = []): number[] {
  const model = createDecoder(base, { adapters, precision: "f32", positions: base.config.context })
  const ids = [...tokenizer.encode(prompt)]
  const start = ids.length
  while (ids.length < start + count) {
    const predicted = new Uint8Array(ids.length).fill(1)
    const scores = tf.tidy(() => logitsOf(model, joinRows([[{ ids: Int32Array.from(ids), predicted }]])).dataSync())
    const last = scores.subarray(-base.config.vocabulary) as Float32Array
    ids.push(last.indexOf(last.reduce((most, score) => Math.max(most, score))))
  }
  return ids.slice(start)
}

test("greedy answers with a cache are those of running the whole sequence each time, with adapters too", async () => {
  for (const adapters of [[], [adapterOn(1), adapterOn(2)]]) {
    const expected = prompts.map((prompt) => wholeSequence(prompt, 12, adapters))
    expect(idsOf(await answer({ adapters }))).toEqual(expected)
    expect(idsOf(await answer({ adapters, batch: 1 }))).toEqual(expected)
  }
  expect(wholeSequence(prompts[0] ?? "", 12, [adapterOn(1)])).not.toEqual(wholeSequence(prompts[0] ?? "", 12))
}, 120_000)

test("answers are sampled by the seed alone, whatever runs beside them", async () => {
  const sampling = { temperature: 1, topK: 50, topP: 0.95, seed: 11 }
  const first = idsOf(await answer({ sampling }))
  expect(idsOf(await answer({ sampling, batch: 2 }))).toEqual(first)
  expect(idsOf(await answer({ sampling: { ...sampling, seed: 12 } }))).not.toEqual(first)
})

test("tokens stream as they come, and their texts are the answer's", async () => {
  const tokens: GeneratedToken[] = []
  const { answers } = await answer({}, (token) => tokens.push(token))
  for (const [index, { text, ids, finish }] of answers.entries()) {
    const own = tokens.filter((token) => token.index === index)
    expect(own.map(({ text }) => text).join("")).toBe(text)
    expect(own.slice(0, ids.length).map(({ id }) => id)).toEqual(ids)
    expect(own).toHaveLength(ids.length + (finish === "end" ? 1 : 0))
    const prompt = tokenizer.encode(prompts[index] ?? "")
    expect((prompts[index] ?? "") + text).toBe(tokenizer.decode([...prompt, ...ids]))
  }
  expect(tokens.slice(0, 4).map(({ index }) => index)).toEqual([0, 1, 2, 0]) // side by side, not one after another
})

test("an answer ends at a stop string, at maxTokens, at a full context, and says which", async () => {
  const [plain] = (await answer({ prompts: prompts.slice(0, 1) })).answers
  expect(plain).toMatchObject({ finish: "length", promptTokens: tokenizer.encode(prompts[0] ?? "").length })
  expect(plain?.ids).toHaveLength(12)
  const word = / (\w+) /.exec(plain?.text ?? "")?.[1] ?? ""
  expect(word).not.toBe("")
  const [stopped] = (await answer({ prompts: prompts.slice(0, 1), stop: [word, "never said"] })).answers
  expect(stopped).toMatchObject({ finish: "stop", text: plain?.text.slice(0, plain.text.indexOf(word)) })
  const context = (plain?.promptTokens ?? 0) + 3
  const [full] = (await answer({ prompts: prompts.slice(0, 1), context })).answers
  expect(full).toMatchObject({ finish: "length", ids: plain?.ids.slice(0, 4) }) // the fourth has no place to be fed
})

test("what cannot be answered is refused before anything runs", async () => {
  const refused = (job: Partial<GenerationJob>, error: object): Promise<void> =>
    expect(answer(job)).rejects.toMatchObject(error)
  const malformed = { code: "RECIPE_INVALID" }
  await refused({ prompts: [] }, { code: "DATA_EMPTY" })
  await refused({ prompts: ["yes", ""] }, { code: "DATA_EMPTY", message: expect.stringContaining("prompt 2") })
  await refused({ context: 3 }, { ...malformed, message: expect.stringMatching(/prompt 1: expected at most 2 tokens/) })
  await refused({ context: base.config.context + 1 }, malformed)
  await refused({ maxTokens: 0 }, malformed)
  await refused({ batch: 0 }, malformed)
  await refused({ stop: [""] }, malformed)
  for (const wrong of [{ temperature: -1 }, { topK: 0 }, { topP: 0 }, { topP: 1.1 }, { minP: 2 }, { seed: -1 }])
    await refused({ sampling: { temperature: 1, seed: 0, ...wrong } }, malformed)
  await refused({ sampling: { temperature: 1, seed: 0, repetitionPenalty: 0 } }, malformed)
})

test("a pool answers as this thread does, token by token, and stops when told to", async () => {
  const pool = await createTunerPool({ workers: 1, threads: 1, backend })
  try {
    const tokens: GeneratedToken[] = []
    const counts: number[] = []
    const job: GenerationJob = { base, prompts, maxTokens: 4 }
    const result = await pool.generate(job, {
      onToken: (token) => tokens.push(token),
      onCount: ({ done, total }) => counts.push(done / total),
    })
    expect(result.answers).toEqual((await generate(job)).answers)
    expect(tokens).toHaveLength(12)
    expect(counts.at(-1)).toBe(1)
    const stop = new AbortController()
    const reason = new Error("enough")
    const endless = pool.generate(
      { ...job, maxTokens: base.config.context, stop: [], sampling: { temperature: 2, seed: 1 } },
      { signal: stop.signal, onToken: () => stop.abort(reason) },
    )
    await expect(endless).rejects.toBe(reason)
  } finally {
    await pool.close()
  }
})

/** The base beside a tokenizer that is given. */
async function withTokenizer(change: (json: TokenizerJson) => void, use: (base: Base) => Promise<void>): Promise<void> {
  const other = await mkdtemp(join(tmpdir(), "lamina-generate-"))
  try {
    const json = JSON.parse(await readFile(join(folder, "tokenizer.json"), "utf8")) as TokenizerJson
    change(json)
    await writeFile(join(other, "tokenizer.json"), JSON.stringify(json))
    await use({ ...base, folder: other })
  } finally {
    await rm(other, { recursive: true })
  }
}
interface TokenizerJson {
  added_tokens: { id: number; content: string }[]
  model: { vocab: Record<string, number>; merges: [string, string][] }
}

test("rows of the head that no token has are never drawn", async () => {
  const shorten = ({ model }: TokenizerJson): void => {
    model.vocab = Object.fromEntries(Object.entries(model.vocab).filter(([, id]) => id < 512))
    model.merges = model.merges.filter((pair) => Object.hasOwn(model.vocab, pair.join("")))
  }
  await withTokenizer(shorten, async (base) => {
    // nearly even over 4,096 rows, of which 512 have a token
    const sampling = { temperature: 1_000, seed: 3 }
    const ids = idsOf(await answer({ base, sampling, ignoreEnd: true })).flat()
    expect(ids).toHaveLength(36)
    expect(ids.every((id) => id < 512)).toBe(true)
  })
})

test("a tokenizer with more ids than the embedding has rows is refused before anything is computed", async () => {
  const add = (json: TokenizerJson): void =>
    void json.added_tokens.push({ ...json.added_tokens[0]!, id: 4_099, content: "<|more|>" })
  const refused = {
    code: "TOKENIZER_MALFORMED",
    message: expect.stringMatching(/expected at most 4096 ids, .*, got 4100, the last one "<\|more\|>"$/) as string,
  }
  await withTokenizer(add, async (base) => {
    await expect(answer({ base })).rejects.toMatchObject(refused)
    const data = { kind: "documents", documents: ["of the people"] } as const
    await expect(evaluate({ base, data })).rejects.toMatchObject(refused)
  })
})
