import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

import { initKernels, nativeAvailable } from "@lamina/kernels"
import * as tf from "@tensorflow/tfjs-core"

import { joinRows } from "../../packages/tuner/src/data/batches.js"
import { createDecoder, logitsOf } from "../../packages/tuner/src/model/decoder.js"
import { relativeError } from "../../packages/tuner/src/model/testing/relative-error.js"
import { readPeftAdapter } from "../../packages/tuner/src/peft/read-adapter.js"
import { withGradients } from "../../packages/tuner/src/train/gradients.js"
import { readFloats } from "../../packages/tuner/src/weights/float-tensor.js"
import { loadBase } from "../../packages/tuner/src/weights/load-base.js"
import { openSafetensors } from "../../packages/tuner/src/weights/safetensors-file.js"

/** Every family against transformers and PEFT in f32 (test/oracle/README.md), to 1e-4 relative. */
const TOLERANCE = 1e-4
const folder = fileURLToPath(new URL("../vectors/model/families/", import.meta.url))

const { ids, models } = JSON.parse(readFileSync(`${folder}vectors.json`, "utf8")) as {
  readonly ids: readonly number[]
  readonly models: Readonly<Record<string, { readonly adapterLoss?: number }>>
}
const rows = joinRows([[{ ids: Int32Array.from(ids), predicted: new Uint8Array(ids.length).fill(1) }]])
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
