import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

import { frozenBytes, quantizationError } from "@lamina/kernels"

import { loadBase } from "./load-base.js"
import { quantizeModel } from "./quantize-model.js"
import type { QuantizedTensor } from "./quantize-model.js"
import { saveBase } from "./save-base.js"

/** Two layers of 64, f32. */
const random = fileURLToPath(new URL("../../../../test/vectors/model/random/", import.meta.url))
const LINEARS = 1 + 2 * 7

let folder = ""
beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), "lamina-quantize-"))))
afterEach(() => rm(folder, { recursive: true }))

const none = (): Set<string> => new Set()

test.each(["q8", "q4", "nf4", "f16", "bf16"] as const)(
  "%s is what loading with that precision gives",
  async (format) => {
    const out = join(folder, "out")
    const tensors: QuantizedTensor[] = []
    const counts: number[] = []
    await quantizeModel(random, out, {
      ...{ format, keep: none },
      onTensor: (tensor, { done, of }) => {
        tensors.push(tensor)
        counts.push(done / of)
      },
    })
    const direct = join(folder, "direct")
    await saveBase(await loadBase(random, { precision: format }), direct)
    for (const file of ["model.safetensors", "config.json"])
      expect((await readFile(join(out, file))).equals(await readFile(join(direct, file)))).toBe(true)
    expect(tensors.length).toBe(LINEARS)
    expect(counts.at(-1)).toBe(1)
  },
)

test("the error of each tensor is that of what was written against what was there", async () => {
  const tensors: QuantizedTensor[] = []
  await quantizeModel(random, folder, { format: "q4", keep: none, onTensor: (tensor) => tensors.push(tensor) })
  const [exact, written] = await Promise.all([random, folder].map((path) => loadBase(path, { precision: "stored" })))
  for (const { name, relativeError, errorSq, normSq, bytes } of tensors) {
    const weights = [exact?.linears[name], written?.linears[name]] as const
    expect(relativeError).toBe(quantizationError(weights[0]!, weights[1]!))
    // the same two sums, once as a root of their quotient
    expect(Math.sqrt(errorSq / normSq)).toBe(relativeError)
    expect(bytes).toBe(frozenBytes(weights[1]!))
    expect(relativeError).toBeGreaterThan(0)
  }
})

test("linears that are kept stay exactly as they are among others", async () => {
  const tensors: QuantizedTensor[] = []
  const keep = (names: readonly string[]): Set<string> => new Set(names.filter((name) => /embed|down_proj/.test(name)))
  await quantizeModel(random, folder, { format: "q4", keep, onTensor: (tensor) => tensors.push(tensor) })
  const kept = tensors.filter(({ to }) => to === "f32")
  expect(kept.map(({ name, relativeError }) => [name, relativeError])).toEqual([
    ["model.embed_tokens", 0],
    ["model.layers.0.mlp.down_proj", 0],
    ["model.layers.1.mlp.down_proj", 0],
  ])
  const [exact, mixed] = await Promise.all([random, folder].map((path) => loadBase(path, { precision: "stored" })))
  for (const { name } of kept) expect(mixed?.linears[name]).toEqual(exact?.linears[name])
  expect(mixed?.linears["model.layers.0.mlp.up_proj"]?.format).toBe("q4")
  // and a base of several formats is saved as it is
  await saveBase(mixed!, join(folder, "again"))
  const bytes = await readFile(join(folder, "again/model.safetensors"))
  expect(bytes.equals(await readFile(join(folder, "model.safetensors")))).toBe(true)
})

test("exceptions of a stranger's config.json are refused by name", async () => {
  await quantizeModel(random, folder, { format: "q8", keep: none, onTensor: () => {} })
  const config = JSON.parse(await readFile(join(folder, "config.json"), "utf8"))
  for (const [exceptions, message] of [
    [[], "quantization_config.exceptions: expected an object"],
    [{ lm_head: "q9" }, "quantization_config.exceptions.lm_head: expected one of plain, q8"],
    [{ lm_head: null }, "quantization_config.exceptions.lm_head"],
  ] as const) {
    const changed = { ...config, quantization_config: { ...config.quantization_config, exceptions } }
    await writeFile(join(folder, "config.json"), JSON.stringify(changed))
    await expect(loadBase(folder, { precision: "stored" })).rejects.toMatchObject({
      code: "MODEL_CONFIG",
      message: expect.stringContaining(message),
    })
  }
})

test("a folder that holds something is not written to", async () => {
  await writeFile(join(folder, "notes.txt"), "mine")
  const failing = quantizeModel(random, folder, { format: "q8", keep: none, onTensor: () => {} })
  await expect(failing).rejects.toMatchObject({
    code: "FILE_UNWRITABLE",
    message: expect.stringContaining("notes.txt"),
  })
  expect(await readdir(folder)).toEqual(["notes.txt"])
})

test("stopped half way there are no weights and no config.json", async () => {
  const controller = new AbortController()
  const onTensor = (_: QuantizedTensor, { done }: { done: number }): void => {
    if (done === 3) controller.abort()
  }
  const failing = quantizeModel(random, folder, { format: "q8", keep: none, onTensor, signal: controller.signal })
  await expect(failing).rejects.toMatchObject({ name: "AbortError" })
  expect((await readdir(folder)).filter((file) => /safetensors|^config/.test(file))).toEqual([])
})
