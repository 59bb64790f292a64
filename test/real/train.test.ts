import { rmSync } from "node:fs"
import { join } from "node:path"

import { lamina, lastJson, root, temporaryFolder } from "../e2e/lamina-process.js"
import { describeReal, realModel } from "./real-model.js"

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
})
