import { fileURLToPath } from "node:url"

import { initKernels, nativeAvailable } from "@lamina/kernels"
import type { Adapter } from "@lamina/protocol"
import { evaluate, loadBase, loadTokenizer, moduleShapes } from "@lamina/tuner"
import type { Base, EvaluationResult } from "@lamina/tuner"

const folder = fileURLToPath(new URL("../../models/tiny/", import.meta.url))
const sentences = ["We the people of the United States.", "Government of the people, by the people, for the people."]

let base: Base
beforeAll(async () => {
  await initKernels({ backend: nativeAvailable() ? "native" : "cpu" })
  base = await loadBase(folder, { precision: "stored" })
})

function score(
  documents: readonly string[],
  options: { context?: number; adapters?: Adapter[] } = {},
): Promise<EvaluationResult> {
  return evaluate({ base, data: { kind: "documents", documents }, ...options })
}

/** An adapter of rank 1 on one layer that adds s·B·A with A and B constant. */
function constantAdapter(values: { alpha: number; a: number; b: number }): Adapter {
  const [shape] = moduleShapes(base.config, ["o_proj"]) as [ReturnType<typeof moduleShapes>[number]]
  const a = new Float32Array(shape.inFeatures).fill(values.a)
  const b = new Float32Array(shape.outFeatures).fill(values.b).map((value, i) => value * (i % 3))
  return { modules: [{ ...shape, rank: 1, alpha: values.alpha, scaling: "lora", a, b }] }
}

test("documents are scored apart and weighed by their predicted tokens", async () => {
  const [first, second] = (await Promise.all(sentences.map((sentence) => score([sentence])))) as [
    EvaluationResult,
    EvaluationResult,
  ]
  const both = await score(sentences)
  expect(first.tokens).not.toBe(second.tokens)
  expect(both.tokens).toBe(first.tokens + second.tokens)
  // f32 means of a few terms near 4, summed in f64
  expect(both.loss).toBeCloseTo((first.tokens * first.loss + second.tokens * second.loss) / both.tokens, 5)
  expect(both.perplexity).toBeCloseTo(Math.exp(both.loss), 10)
})

test("the first token of every window is not predicted, nothing is added to a document", async () => {
  const tokenizer = await loadTokenizer(folder)
  const length = tokenizer.encode(sentences[1] ?? "").length
  expect((await score([sentences[1] ?? ""])).tokens).toBe(length - 1)
  // windows of 4: each predicts one token less than it holds
  expect((await score([sentences[1] ?? ""], { context: 4 })).tokens).toBe(length - Math.ceil(length / 4))
})

test("passes of many windows score as one window at a time", async () => {
  const text = sentences.join(" ").repeat(20)
  const tokenizer = await loadTokenizer(folder)
  const ids = tokenizer.encode(text)
  const whole = await score([text], { context: 32 })
  let nats = 0
  for (let start = 0; start < ids.length; start += 32) {
    const window = tokenizer.decode(ids.subarray(start, start + 32))
    expect(tokenizer.encode(window)).toEqual(ids.slice(start, start + 32)) // else this text cannot show it
    const { loss, tokens } = ids.length - start > 1 ? await score([window], { context: 32 }) : { loss: 0, tokens: 0 }
    nats += loss * tokens
  }
  expect(whole.loss).toBeCloseTo(nats / whole.tokens, 5)
})

test("adapters add up, each with its own scale", async () => {
  const plain = await score(sentences)
  const small = constantAdapter({ alpha: 1, a: 0.02, b: 0.1 })
  const large = constantAdapter({ alpha: 3, a: 0.02, b: 0.1 })
  const sum = constantAdapter({ alpha: 4, a: 0.02, b: 0.1 })
  const stacked = await score(sentences, { adapters: [small, large] })
  expect(Math.abs(stacked.loss - plain.loss)).toBeGreaterThan(1e-3)
  expect(stacked.loss).toBeCloseTo((await score(sentences, { adapters: [sum] })).loss, 5)
})

test("a context the model has not is refused, and an abort is followed", async () => {
  await expect(score(sentences, { context: 1 })).rejects.toMatchObject({ code: "RECIPE_INVALID" })
  await expect(score(sentences, { context: base.config.context + 1 })).rejects.toMatchObject({ code: "RECIPE_INVALID" })
  const signal = AbortSignal.abort(new Error("not now"))
  await expect(evaluate({ base, data: { kind: "documents", documents: sentences } }, { signal })).rejects.toThrow(
    "not now",
  )
})
