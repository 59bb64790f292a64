import { readFileSync } from "node:fs"
import { copyFile, mkdir, mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

import { initKernels, nativeAvailable } from "@lamina/kernels"
import * as tf from "@tensorflow/tfjs-core"

import { joinRows } from "../../packages/tuner/src/data/batches.js"
import { createDecoder, logitsOf } from "../../packages/tuner/src/model/decoder.js"
import { relativeError } from "../../packages/tuner/src/model/testing/relative-error.js"
import { readPeftAdapter } from "../../packages/tuner/src/peft/read-adapter.js"
import { writePeftAdapter } from "../../packages/tuner/src/peft/write-adapter.js"
import { withGradients } from "../../packages/tuner/src/train/gradients.js"
import { readFloats } from "../../packages/tuner/src/weights/float-tensor.js"
import { loadBase } from "../../packages/tuner/src/weights/load-base.js"
import { openSafetensors } from "../../packages/tuner/src/weights/safetensors-file.js"
import { writeSafetensors } from "../../packages/tuner/src/weights/safetensors-write.js"
import type { TensorData } from "../../packages/tuner/src/weights/safetensors-write.js"
import { saveBase } from "../../packages/tuner/src/weights/save-base.js"

/** Every family against transformers and PEFT in f32 (test/oracle/README.md), to 1e-4 relative. */
const TOLERANCE = 1e-4
const folder = fileURLToPath(new URL("../vectors/model/families/", import.meta.url))

const { ids, models } = JSON.parse(readFileSync(`${folder}vectors.json`, "utf8")) as {
  readonly ids: readonly number[]
  readonly models: Readonly<Record<string, { readonly adapterLoss?: number }>>
}
const rows = joinRows([[{ ids: Int32Array.from(ids), predicted: new Uint8Array(ids.length).fill(1) }]])
let work: string
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), "families-"))
})
afterAll(() => rm(work, { recursive: true, force: true }))

const trained = Object.entries(models).flatMap(([name, { adapterLoss }]) =>
  adapterLoss === undefined ? [] : [[name, adapterLoss] as const],
)

async function tensors(file: string): Promise<Map<string, ArrayLike<number>>> {
  const store = await openSafetensors(`${folder}${file}`)
  const names = [...store.tensors.keys()]
  const entries = await Promise.all(names.map(async (name) => [name, (await readFloats(store, name)).values] as const))
  await store.close()
  return new Map(entries)
}

test("GPT-2 without the first part of its names, as published, is the same base; so is what is saved", async () => {
  const base = await loadBase(`${folder}gpt2`, { precision: "stored" })
  const bare = join(work, "bare")
  await mkdir(bare)
  await copyFile(`${folder}gpt2/config.json`, join(bare, "config.json"))
  const store = await openSafetensors(`${folder}gpt2/model.safetensors`)
  const renamed = new Map<string, TensorData>()
  for (const [name, { dtype, shape }] of store.tensors)
    renamed.set(name.replace("transformer.", ""), { dtype, shape, data: await store.read(name) })
  // the causal mask that old checkpoints carry along
  renamed.set("h.0.attn.bias", { dtype: "F32", shape: [1, 1, 2, 2], data: new Float32Array([1, 0, 1, 1]) })
  await writeSafetensors(join(bare, "model.safetensors"), renamed, { format: "pt" })
  await store.close()
  const published = await loadBase(bare, { precision: "stored" })
  for (const part of ["linears", "norms", "biases"] as const) expect(published[part]).toEqual(base[part])
  await saveBase(base, join(work, "saved"))
  const saved = await loadBase(join(work, "saved"), { precision: "stored" })
  for (const part of ["linears", "norms", "biases"] as const) expect(saved[part]).toEqual(base[part])
  const again = await openSafetensors(join(work, "saved", "model.safetensors"))
  expect(again.tensors.get("transformer.h.0.attn.c_attn.weight")?.shape).toEqual([32, 96]) // (in, out), as it came
  await again.close()
})

test("an adapter for GPT-2 says fan_in_fan_out, one for a Llama does not", async () => {
  for (const [name, expected] of [
    ["gpt2", true],
    ["qwen3", false],
  ] as const) {
    const adapter = await readPeftAdapter(`${folder}${name}/adapter`)
    await writePeftAdapter(join(work, name), adapter, { baseName: name })
    const config = JSON.parse(await readFile(join(work, name, "adapter_config.json"), "utf8")) as object
    expect(config).toHaveProperty("fan_in_fan_out", expected)
    expect(await readPeftAdapter(join(work, name))).toEqual(adapter)
  }
})

describe.each(["cpu", ...(nativeAvailable() ? ["native"] : [])] as ("cpu" | "native")[])("on backend %s", (backend) => {
  beforeAll(() => initKernels({ backend }))

  test.each(Object.keys(models))("%s: logits of a bfloat16 checkpoint are those of transformers", async (name) => {
    const base = await loadBase(`${folder}${name}`, { precision: "f32" })
    const model = createDecoder(base, { adapters: [], precision: "f32", positions: ids.length })
    const logits = tf.tidy(() => logitsOf(model, rows).dataSync())
    expect(relativeError(logits, (await tensors(`${name}/logits.safetensors`)).get("logits") ?? [])).toBeLessThan(
      TOLERANCE,
    )
  })

  test.each(trained)(
    "%s: loss under an adapter of PEFT and the gradients of its factors",
    async (name, adapterLoss) => {
      const base = await loadBase(`${folder}${name}`, { precision: "f32" })
      const adapter = await readPeftAdapter(`${folder}${name}/adapter`)
      const expected = await tensors(`${name}/gradients.safetensors`)
      const names = adapter.modules.flatMap((module) =>
        ["A", "B"].map((side) => `base_model.model.${module.name}.lora_${side}.weight`),
      )
      expect(new Set(names)).toEqual(new Set(expected.keys()))
      const model = createDecoder(base, { adapters: [], precision: "f32", positions: ids.length })
      withGradients({ model, adapter, rows, dropout: 0, seed: 0, pass: 0 }, (loss, gradients) => {
        expect(Math.abs(loss - adapterLoss) / adapterLoss).toBeLessThan(TOLERANCE)
        const errors = gradients.map((gradient, i) => relativeError(gradient, expected.get(names[i] ?? "") ?? []))
        expect(Math.max(...errors)).toBeLessThan(TOLERANCE)
      })
    },
  )
})
