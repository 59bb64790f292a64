import { initKernels, nativeAvailable } from "@lamina/kernels"
import { generate, loadBase } from "@lamina/tuner"

import { describeReal, realFigures, realModel } from "./real-model.js"

const { answers } = realFigures()

/**
 * Sums of 30 layers in f32 in another order than PyTorch's: logits of the parity vectors differ by up to 1e-4 of their
 * size, which is about 20 here. A token whose logit is above the next best one's by less may come out as the other.
 */
const TIED = 20 * 1e-4

describeReal("SmolLM2-135M-Instruct, Q4_1, writing", () => {
  beforeAll(() => initKernels({ backend: nativeAvailable() ? "native" : "cpu" }))

  test("greedy answers of 64 tokens in f32 are transformers', up to tied scores", async () => {
    const base = await loadBase(realModel, { precision: "stored" })
    const prompts = answers.map(({ prompt }) => prompt)
    const result = await generate({ base, prompts, maxTokens: 64, ignoreEnd: true })
    expect(answers).toHaveLength(5)
    for (const [i, { ids, margins }] of answers.entries()) {
      const got = result.answers[i]?.ids ?? []
      const differs = ids.findIndex((id, at) => id !== got[at])
      expect(got).toHaveLength(64)
      if (differs >= 0) expect(margins[differs]).toBeLessThan(TIED)
    }
  }, 120_000)
})
