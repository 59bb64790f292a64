import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

import { initKernels, nativeAvailable } from "@lamina/kernels"
import type { Adapter } from "@lamina/protocol"
import * as tf from "@tensorflow/tfjs-core"

import type { Base, TrainingSettings } from "../../packages/tuner/src/api.js"
import { joinRows } from "../../packages/tuner/src/data/batches.js"
import type { TokenBatch } from "../../packages/tuner/src/data/batches.js"
import { createDecoder, logitsOf, lossOf } from "../../packages/tuner/src/model/decoder.js"
import { continuedAdapter } from "../../packages/tuner/src/model/lora.js"
import { relativeError } from "../../packages/tuner/src/model/testing/relative-error.js"
import { readPeftAdapter } from "../../packages/tuner/src/peft/read-adapter.js"
import { withGradients } from "../../packages/tuner/src/train/gradients.js"
import { createTrained, globalNorm } from "../../packages/tuner/src/train/optimizer.js"
import { trainingStep } from "../../packages/tuner/src/train/step.js"
import { readFloats } from "../../packages/tuner/src/weights/float-tensor.js"
import { loadBase } from "../../packages/tuner/src/weights/load-base.js"
import { openSafetensors } from "../../packages/tuner/src/weights/safetensors-file.js"

/** The decoder against transformers and PEFT in f32 (test/oracle/README.md). Everything must agree to 1e-4 relative. */
const TOLERANCE = 1e-4
const folder = fileURLToPath(new URL("../vectors/model/random/", import.meta.url))

interface Losses {
  readonly loss: number
  readonly packed: { readonly perDocument: readonly number[]; readonly mean: number }
}
interface Vectors {
  readonly sequences: readonly (readonly number[])[]
  readonly logitRows: readonly number[]
  readonly documentLengths: readonly [number, number]
  readonly adamw: { readonly lr: number; readonly weight_decay: number; readonly clipNorm: number }
  readonly base: Losses
  readonly untied: { readonly loss: number }
  readonly adapter: Losses & { readonly steps: readonly { readonly loss: number; readonly gradientNorm: number }[] }
  readonly adapterRslora: { readonly loss: number }
}
const vectors = JSON.parse(readFileSync(`${folder}vectors.json`, "utf8")) as Vectors
const sequence = (i: number): Int32Array => Int32Array.from(vectors.sequences[i] ?? [])
const counted = (ids: Int32Array): { ids: Int32Array; predicted: Uint8Array } => ({
  ids,
  predicted: new Uint8Array(ids.length).fill(1),
})
const whole = joinRows([[counted(sequence(0))]])
const split = vectors.documentLengths[0]
const documents = [sequence(0).subarray(0, split), sequence(0).subarray(split)].map(counted)
const packed = joinRows([documents])

async function tensors(file: string): Promise<Map<string, ArrayLike<number>>> {
  const store = await openSafetensors(`${folder}${file}`)
  const entries = await Promise.all(
    [...store.tensors.keys()].map(async (name) => [name, (await readFloats(store, name)).values] as const),
  )
  await store.close()
  return new Map(entries)
}

function lossAndLogits(base: Base, adapters: readonly Adapter[]): { loss: number; logits: Float32Array } {
  const model = createDecoder(base, { adapters, precision: "f32", positions: 64 })
  const loss = tf.tidy(() => lossOf(model, whole).dataSync()[0] ?? NaN)
  const all = tf.tidy(() => logitsOf(model, whole).dataSync())
  const width = base.config.vocabulary
  const logits = vectors.logitRows.flatMap((row) => [...all.subarray(row * width, (row + 1) * width)])
  return { loss, logits: Float32Array.from(logits) }
}

function gradientsOf(base: Base, adapter: Adapter, rows: TokenBatch): { loss: number; gradients: Float32Array[] } {
  const model = createDecoder(base, { adapters: [], precision: "f32", positions: 64 })
  const result = { loss: NaN, gradients: [] as Float32Array[] }
  withGradients({ model, adapter, rows, dropout: 0, seed: 0, pass: 0 }, (loss, gradients) => {
    Object.assign(result, { loss, gradients: gradients.map((gradient) => gradient.slice()) })
  })
  return result
}

/** Names of dA and dB in PEFT's files, in the order of our gradients. */
const peftNames = (adapter: Adapter): string[] =>
  adapter.modules.flatMap(({ name }) => ["A", "B"].map((side) => `base_model.model.${name}.lora_${side}.weight`))

const backends = [["cpu"], ...(nativeAvailable() ? [["native"]] : [])] as ["cpu" | "native"][]

describe.each(backends)("on backend %s", (backend) => {
  let base: Base
  let adapter: Adapter
  let logits: Map<string, ArrayLike<number>>
  beforeAll(async () => {
    await initKernels({ backend })
    base = await loadBase(folder, { precision: "f32" })
    adapter = await readPeftAdapter(`${folder}adapter`)
    logits = await tensors("logits.safetensors")
  })
  const close = (got: number, expected: number): void =>
    expect(Math.abs(got - expected) / expected).toBeLessThan(TOLERANCE)
  const closeLogits = (got: Float32Array, name: string): void =>
    expect(relativeError(got, logits.get(name) ?? [])).toBeLessThan(TOLERANCE)

  test("loss and logits of a base with a tied head", () => {
    const got = lossAndLogits(base, [])
    close(got.loss, vectors.base.loss)
    closeLogits(got.logits, "base")
  })

  test("loss and logits of a float16 base with its own head, another head size, theta and epsilon", async () => {
    const got = lossAndLogits(await loadBase(`${folder}untied`, { precision: "stored" }), [])
    close(got.loss, vectors.untied.loss)
    closeLogits(got.logits, "untied")
  })

  test("logits of a bfloat16 base in two files", async () => {
    closeLogits(lossAndLogits(await loadBase(`${folder}sharded`, { precision: "stored" }), []).logits, "sharded")
  })

  test("loss and logits under a frozen adapter of PEFT, with both scaling rules", async () => {
    const lora = lossAndLogits(base, [adapter])
    close(lora.loss, vectors.adapter.loss)
    closeLogits(lora.logits, "adapter")
    const rslora = lossAndLogits(base, [await readPeftAdapter(`${folder}adapter_rslora`)])
    close(rslora.loss, vectors.adapterRslora.loss)
    closeLogits(rslora.logits, "adapterRslora")
  })

  test("a packed row is scored as its documents are alone", () => {
    const model = createDecoder(base, { adapters: [], precision: "f32", positions: 64 })
    const lossAlone = documents.map((one) => tf.tidy(() => lossOf(model, joinRows([[one]])).dataSync()[0] ?? NaN))
    for (const [i, loss] of lossAlone.entries()) close(loss, vectors.base.packed.perDocument[i] ?? NaN)
    close(
      tf.tidy(() => lossOf(model, packed).dataSync()[0] ?? NaN),
      vectors.base.packed.mean,
    )
  })

  test.each([
    ["one sequence", whole, "gradients.safetensors", vectors.adapter.loss],
    ["a packed row", packed, "packed_gradients.safetensors", vectors.adapter.packed.mean],
  ])("LoRA gradients of %s, every A and B", async (_name, rows, file, loss) => {
    const expected = await tensors(file)
    const got = gradientsOf(base, adapter, rows)
    close(got.loss, loss)
    const errors = peftNames(adapter).map((name, i) => relativeError(got.gradients[i] ?? [], expected.get(name) ?? []))
    expect(errors).toHaveLength(expected.size)
    expect(Math.max(...errors)).toBeLessThan(TOLERANCE)
  })

  test("three clipped AdamW steps: losses, gradient norms and the factors after them", async () => {
    const { lr, weight_decay, clipNorm } = vectors.adamw
    const modules = adapter.modules.map((module) => module)
    const trainedAdapter = continuedAdapter(base, { modules, scaling: "lora", adapter })
    const settings: TrainingSettings = {
      ...{ steps: 3, batch: 1, context: 40, accumulate: 1, learningRate: lr, schedule: "constant", warmupSteps: 0 },
      ...{ clipNorm, weightDecay: weight_decay, lossOn: "all", dropout: 0, seed: 0, compute: "f32" },
    }
    const model = createDecoder(base, { adapters: [], precision: "f32", positions: 64 })
    const state = { model, settings, adapter: trainedAdapter, trained: createTrained(trainedAdapter) }
    for (const [step, expected] of vectors.adapter.steps.entries()) {
      const rows = joinRows([[counted(sequence(step))]])
      close(globalNorm(gradientsOf(base, trainedAdapter, rows).gradients), expected.gradientNorm)
      close(trainingStep(state, [rows], step), expected.loss)
    }
    const after = await tensors("after_steps.safetensors")
    const factors = trainedAdapter.modules.flatMap(({ a, b }) => [a, b])
    const errors = peftNames(adapter).map((name, i) => relativeError(factors[i] ?? [], after.get(name) ?? []))
    expect(errors).toHaveLength(after.size)
    expect(Math.max(...errors)).toBeLessThan(TOLERANCE)
  })
})
