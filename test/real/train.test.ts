import { execFileSync } from "node:child_process"
import { rmSync } from "node:fs"
import { join } from "node:path"

import { lamina, lastJson, root, temporaryFolder } from "../e2e/lamina-process.js"
import { describeReal, realModel, realText } from "./real-model.js"

interface Summary {
  readonly heldOut: { readonly before: number; readonly best: number }
  readonly dataExamples: number
}

const folder = temporaryFolder("real-train")
afterAll(() => rmSync(folder, { recursive: true }))

describeReal("LoRA on SmolLM2-135M-Instruct", () => {
  // Issue 4's bound. The loss counts the sentences only, their end included.
  test("500 E2E examples halve the loss on held-out ones", async () => {
    const excerpt = join(root, "test/vectors/e2e")
    const data = ["--data", join(excerpt, "train-500.csv"), "--eval-data", join(excerpt, "held-out-100.csv")]
    const columns = ["--prompt-field", "mr", "--response-field", "ref"]
    const steps = ["--batch", "2", "--dropout", "0.05"]
    const run = await lamina("train", realModel, ...data, ...columns, ...steps, "--out", folder, "--json")
    expect(run).toMatchObject({ status: 0 })
    const { heldOut, dataExamples } = lastJson<Summary>(run)
    expect(dataExamples).toBe(500)
    expect(heldOut.best).toBeLessThanOrEqual(heldOut.before / 2)
  }, 1_200_000)

  // Needs PyTorch, transformers and PEFT: PEERS_PYTHON names the interpreter that has them.
  const python = process.env.PEERS_PYTHON
  const withPeft = python === undefined ? test.skip : test
  withPeft(
    "the adapter gives the same loss in PEFT",
    async () => {
      const adapter = join(folder, "adapter")
      const ours = await lamina(
        "eval",
        realModel,
        "--data",
        realText,
        "--context",
        "512",
        "--adapter",
        adapter,
        "--json",
      )
      expect(ours).toMatchObject({ status: 0 })
      const script = join(root, "test/oracle/adapter_loss.py")
      const args = [script, "--model", realModel, "--adapter", adapter, "--text", realText]
      const theirs = JSON.parse(execFileSync(python!, args, { encoding: "utf8" }).trim()) as { loss: number }
      const { loss } = lastJson<{ loss: number }>(ours)
      // Both in f32 on the same dequantized weights; the issue asks for 1 %.
      expect(Math.abs(loss / theirs.loss - 1)).toBeLessThan(1e-3)
    },
    300_000,
  )
})
