import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"

import { initKernels, nativeAvailable } from "@lamina/kernels"
import { evaluate, loadBase, loadTokenizer, openModelFiles } from "@lamina/tuner"

import { describeReal, realFigures, realModel, realText } from "./real-model.js"

const figures = realFigures()

describeReal("SmolLM2-135M-Instruct, Q4_1", () => {
  beforeAll(() => initKernels({ backend: nativeAvailable() ? "native" : "cpu" }))

  test("the file is the one the figures are of", () => {
    expect(createHash("sha256").update(readFileSync(realModel)).digest("hex")).toBe(figures.model.sha256)
  })

  test("ids are those of transformers' tokenizer, and decode to the text", async () => {
    const tokenizer = await loadTokenizer(realModel)
    expect(tokenizer.vocabularySize).toBe(49_152)
    expect(tokenizer.eosId).toBe(2)
    for (const { text, ids } of figures.tokenizer) {
      expect([text, [...tokenizer.encode(text)]]).toEqual([text, ids])
      expect(tokenizer.decode(ids)).toBe(text)
    }
    expect(tokenizer.encode(readFileSync(realText, "utf8")).length).toBe(figures.text.ids)
    for (const { prompt, promptIds } of figures.answers) expect([...tokenizer.encode(prompt)]).toEqual(promptIds)
  })

  test("the config is the original checkpoint's", async () => {
    const files = await openModelFiles(realModel)
    expect(await files.config()).toMatchObject({
      architectures: ["LlamaForCausalLM"],
      hidden_size: 576,
      num_hidden_layers: 30,
      head_dim: 64,
      rope_theta: 100_000,
      rms_norm_eps: 1e-5,
      tie_word_embeddings: true,
    })
    expect(await files.specialTokens()).toEqual({
      bosToken: "<|im_start|>",
      eosToken: "<|im_end|>",
      eosIds: [2],
      addBos: false,
    })
    expect(await files.chatTemplate()).toContain("<|im_start|>")
    await files.close()
  })

  // Issue 4's bounds: perplexity equal to 0.1 % in f32 and to 0.5 % in bf16 products.
  test.each([
    ["f32", 1e-3],
    ["bf16", 5e-3],
  ] as const)(
    "perplexity of a text is transformers' (%s)",
    async (compute, tolerance) => {
      const base = await loadBase(realModel, { precision: "stored" })
      const data = { kind: "text", paths: [realText] } as const
      const result = await evaluate({ base, data, context: figures.text.window, compute })
      expect(result.tokens).toBe(figures.text.tokens)
      expect(Math.abs(result.perplexity / figures.text.perplexity - 1)).toBeLessThan(tolerance)
    },
    120_000,
  )
})
