import { readFileSync } from "node:fs"
import { stat } from "node:fs/promises"
import { fileURLToPath } from "node:url"

import { initKernels, nativeAvailable } from "@lamina/kernels"
import { evaluate, loadBase, moduleShapes, train } from "@lamina/tuner"
import type { Base, DataSource, TrainingJob } from "@lamina/tuner"

const folder = fileURLToPath(new URL("../../models/tiny/", import.meta.url))
const vectorFolder = fileURLToPath(new URL("../vectors/model/tiny/", import.meta.url))
const { text } = JSON.parse(readFileSync(`${vectorFolder}vectors.json`, "utf8")) as {
  text: { predictedTokens: number; windowTokens: number; loss: number; perplexity: number }
}
const data: DataSource = { kind: "text", paths: [`${vectorFolder}text.txt`] }
const backend = nativeAvailable() ? "native" : "cpu"

let base: Base
beforeAll(async () => {
  await initKernels({ backend })
  base = await loadBase(folder, { precision: "stored" })
})

test("the shipped model scores its text as transformers does", async () => {
  const result = await evaluate({ base, data, context: text.windowTokens, compute: "f32" })
  expect(result.tokens).toBe(text.predictedTokens)
  expect(Math.abs(result.loss / text.loss - 1)).toBeLessThan(1e-4)
  expect(Math.abs(result.perplexity / text.perplexity - 1)).toBeLessThan(1e-3) // d exp(x) = exp(x) dx with dx = 4e-4
})

test("the base takes the memory of its file, packed", async () => {
  const file = await stat(`${folder}model.safetensors`)
  const headerBytes = 8 + Number(readFileSync(`${folder}model.safetensors`).readBigUInt64LE(0))
  expect(Math.abs(base.bytes / (file.size - headerBytes) - 1)).toBeLessThan(0.02)
  const held = [...Object.values(base.linears), ...Object.values(base.norms)].flatMap((part) =>
    ArrayBuffer.isView(part) ? [part] : Object.values(part).filter((value) => ArrayBuffer.isView(value)),
  )
  expect(held.reduce((sum, array) => sum + array.buffer.byteLength, 0)).toBe(base.bytes)
})

// The reference kernels unpack a weight for every product and drop it again, which is all this test could see.
const testNative = nativeAvailable() ? test : test.skip
testNative("no unpacked copy of the weights exists while the native kernels train", async () => {
  const [before, ...during] = await arrayBufferBytes()
  // Activations of 32 tokens, LoRA factors with their moments and reused buffers are below 6 MB; the weights in f32
  // would be 13 MB.
  expect(Math.max(...during) - (before ?? NaN)).toBeLessThan(6 * 2 ** 20)
})

/** Bytes of all array buffers before training, and after each step. */
async function arrayBufferBytes(): Promise<number[]> {
  const modules = moduleShapes(base.config, ["q_proj", "v_proj"]).map((shape) => ({ ...shape, rank: 2, alpha: 4 }))
  const job: TrainingJob = {
    ...{ base, modules, scaling: "lora", data },
    settings: {
      ...{ steps: 3, batch: 1, context: 32, accumulate: 1, learningRate: 1e-3, schedule: "constant", warmupSteps: 0 },
      ...{ clipNorm: 1, weightDecay: 0, lossOn: "all", dropout: 0, seed: 3, compute: "f32" },
    },
  }
  const bytes = [process.memoryUsage().arrayBuffers]
  await train(job, { onProgress: () => bytes.push(process.memoryUsage().arrayBuffers) })
  return bytes
}
