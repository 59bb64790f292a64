import { cp, mkdtemp, readFile, rm, utimes, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

import { dequantize, quantizationError, quantize } from "@lamina/kernels"
import type { FrozenWeight } from "@lamina/kernels"

import type { Base } from "../api.js"
import { loadBase } from "./load-base.js"
import { openSafetensors } from "./safetensors-file.js"
import { writeSafetensors } from "./safetensors-write.js"
import type { TensorData } from "./safetensors-write.js"
import { saveBase } from "./save-base.js"
import { sharedBase } from "./shared-base.js"

const random = fileURLToPath(new URL("../../../../test/vectors/model/random/", import.meta.url))
const tiny = fileURLToPath(new URL("../../../../models/tiny/", import.meta.url))
const Q = "model.layers.1.self_attn.q_proj"

let folder = ""
beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), "lamina-base-"))))
afterEach(() => rm(folder, { recursive: true }))

const linear = (base: Base, name: string): FrozenWeight => base.linears[name] as FrozenWeight

/**
 * Every array of a base's linears as bytes: jest compares typed arrays element by element, which takes seconds here.
 */
const bytesOf = (linears: Readonly<Record<string, FrozenWeight>>): Record<string, Buffer> =>
  Object.fromEntries(
    Object.entries(linears).flatMap(([name, weight]) =>
      Object.entries(weight).flatMap(([key, value]) =>
        ArrayBuffer.isView(value)
          ? [[`${name}.${key}`, Buffer.from(value.buffer, value.byteOffset, value.byteLength)]]
          : [],
      ),
    ),
  )
const sameLinears = (left: Base, right: Base): boolean => {
  const [a, b] = [bytesOf(left.linears), bytesOf(right.linears)]
  return Object.keys({ ...a, ...b }).every((key) => (b[key] && a[key]?.equals(b[key])) === true)
}

test("a tied f32 checkpoint loads as it is, on shared memory", async () => {
  const base = await loadBase(random, { precision: "stored" })
  // embedding and 7 linears in each of 2 layers; 2 norms per layer and the last
  expect(Object.keys(base.linears)).toHaveLength(1 + 2 * 7)
  expect(Object.keys(base.norms)).toHaveLength(5)
  expect(linear(base, Q)).toMatchObject({ format: "f32", rows: 64, cols: 64 })
  for (const { codes } of Object.values(base.linears)) expect(codes.buffer).toBeInstanceOf(SharedArrayBuffer)
  // 128 * 64 (embedding) + 2 * (64*64*2 + 32*64*2 + 3*96*64) (linears) + 5 * 64 (norms) values of 4 bytes
  expect(base.bytes).toBe(4 * (8192 + 2 * (8192 + 4096 + 18432) + 320))
  const store = await openSafetensors(join(random, "model.safetensors"))
  expect(linear(base, Q).codes).toEqual(new Float32Array((await store.read(`${Q}.weight`)).buffer))
  await store.close()
})

test("bf16 shards are the f32 checkpoint rounded", async () => {
  const exact = await loadBase(random, { precision: "bf16" }) // rounds to nearest even, as PyTorch did for the shards
  const shards = await loadBase(join(random, "sharded"), { precision: "stored" })
  expect(sameLinears(shards, exact)).toBe(true)
  expect(sameLinears(shards, await loadBase(random, { precision: "stored" }))).toBe(false)
})

test("f16 stays f16, becomes f32 exactly, and a head of its own is loaded", async () => {
  const base = await loadBase(join(random, "untied"), { precision: "f32" })
  expect(linear(base, "lm_head")).toMatchObject({ format: "f32", rows: 128, cols: 64 })
  const store = await openSafetensors(join(random, "untied/model.safetensors"))
  const bits = new Uint16Array((await store.read("lm_head.weight")).buffer)
  await store.close()
  // f16 by its definition: sign, 5 bits of exponent, 10 of mantissa; this weight is normal
  const first = bits[0] as number
  const value = (first >>> 15 ? -1 : 1) * 2 ** (((first >>> 10) & 31) - 15) * (1 + (first & 1023) / 1024)
  expect(linear(base, "lm_head").codes[0]).toBe(value)
  const stored = linear(await loadBase(join(random, "untied"), { precision: "stored" }), "lm_head")
  expect(stored).toMatchObject({ format: "f16", codes: bits })
})

test.each(["q8", "q4", "nf4"] as const)("loading as %s quantizes each linear as the kernels do", async (precision) => {
  const exact = await loadBase(random, { precision: "stored" })
  const base = await loadBase(random, { precision })
  for (const [name, weight] of Object.entries(exact.linears))
    expect(linear(base, name)).toEqual(
      quantize({ rows: weight.rows, cols: weight.cols, values: dequantize(weight) }, precision),
    )
})

test("the shipped model is q8, and smaller as q4", async () => {
  const stored = await loadBase(tiny, { precision: "stored" })
  expect(linear(stored, "model.embed_tokens")).toMatchObject({ format: "q8", rows: 4096, cols: 192 })
  expect(sameLinears(await loadBase(tiny, { precision: "q8" }), stored)).toBe(true)
  const q4 = await loadBase(tiny, { precision: "q4" })
  // q8 takes 34 bytes per 32 weights, q4 20; the norms are small
  expect(q4.bytes / stored.bytes).toBeCloseTo(20 / 34, 2)
  // a step of 1/15 of a block's range (about 4 deviations of 32 normal values): error 4/15/sqrt(12) = 0.08 of a
  // deviation
  expect(quantizationError(linear(stored, Q), linear(q4, Q))).toBeLessThan(0.1)
})

test.each(["stored", "bf16", "f16", "q8", "q4", "nf4"] as const)(
  "a base saved as %s loads to the same bytes",
  async (precision) => {
    const base = await loadBase(random, { precision })
    const out = join(folder, "out")
    await saveBase(base, out)
    const again = await loadBase(out, { precision: "stored" })
    expect(sameLinears(again, base)).toBe(true)
    expect(again.norms).toEqual(base.norms)
    await saveBase(again, join(folder, "twice"))
    for (const file of ["model.safetensors", "config.json"])
      expect(await readFile(join(folder, "twice", file))).toEqual(await readFile(join(out, file)))
  },
)

test("the shipped q8 model, saved, has the shipped tensors and tokenizer", async () => {
  await saveBase(await loadBase(tiny, { precision: "stored" }), join(folder, "out"))
  const [ours, theirs] = await Promise.all(
    [join(folder, "out"), tiny].map((path) => openSafetensors(join(path, "model.safetensors"))),
  )
  expect([...(ours?.tensors.keys() ?? [])].sort()).toEqual([...(theirs?.tensors.keys() ?? [])].sort())
  await Promise.all([ours?.close(), theirs?.close()])
  expect(await readFile(join(folder, "out/tokenizer.json"))).toEqual(await readFile(join(tiny, "tokenizer.json")))
})

test("a base is not saved over its own folder, or another model's", async () => {
  const base = await loadBase(random, { precision: "stored" })
  for (const taken of [random, tiny])
    await expect(saveBase(base, taken)).rejects.toMatchObject({ code: "FILE_UNWRITABLE" })
})

describe("a checkpoint", () => {
  let tensors: Map<string, TensorData>
  beforeEach(async () => {
    await cp(join(random, "config.json"), join(folder, "config.json"))
    const store = await openSafetensors(join(random, "model.safetensors"))
    tensors = new Map()
    for (const [name, { dtype, shape }] of store.tensors)
      tensors.set(name, { dtype, shape, data: await store.read(name) })
    await store.close()
  })
  const q = `${Q}.weight`
  const load = async (): Promise<unknown> => {
    await writeSafetensors(join(folder, "model.safetensors"), tensors)
    return loadBase(folder, { precision: "stored" })
  }
  const change = (name: string, changes: Partial<TensorData>): void => {
    tensors.set(name, { ...(tensors.get(name) as TensorData), ...changes })
  }

  test("unchanged loads, with what old ones carry along", async () => {
    tensors.set("model.layers.0.self_attn.rotary_emb.inv_freq", { dtype: "F32", shape: [1], data: new Float32Array(1) })
    tensors.set("lm_head.weight", tensors.get("model.embed_tokens.weight") as TensorData)
    await expect(load()).resolves.toMatchObject({ precision: "stored" })
  })

  test("without a tensor is refused, naming it and its shape", async () => {
    tensors.delete(q)
    await expect(load()).rejects.toMatchObject({
      code: "WEIGHTS_MISSING",
      message: expect.stringContaining(`${q}: expected F32 or BF16 or F16 [64, 64]`) as string,
    })
  })

  test("of another shape than config.json says is refused, naming both", async () => {
    change(q, { shape: [32, 128] })
    await expect(load()).rejects.toMatchObject({
      code: "MODEL_CONFIG",
      message: expect.stringMatching(/\[64, 64\].*got F32 \[32, 128\]/) as string,
    })
  })

  test("of integers is refused", async () => {
    change(q, { dtype: "I32" })
    await expect(load()).rejects.toMatchObject({ code: "WEIGHTS_DTYPE" })
  })

  test("with a bias is refused, not loaded without it", async () => {
    tensors.set(`${Q}.bias`, { dtype: "F32", shape: [64], data: new Float32Array(64) })
    await expect(load()).rejects.toMatchObject({
      code: "MODEL_UNSUPPORTED",
      message: expect.stringContaining(".bias") as string,
    })
  })

  test.each([
    ["F32", Float32Array.from({ length: 4096 }, (_, i) => (i === 77 ? NaN : 1))],
    ["BF16", Uint16Array.from({ length: 4096 }, (_, i) => (i === 77 ? 0x7f80 : 0x3f80))], // infinity among ones
    ["F16", Uint16Array.from({ length: 4096 }, (_, i) => (i === 77 ? 0xfe00 : 0x3c00))], // a NaN among ones
  ] as const)("with a %s value that is not finite is refused, naming the element", async (dtype, data) => {
    change(q, { dtype, data })
    await expect(load()).rejects.toMatchObject({
      code: "WEIGHTS_MALFORMED",
      message: expect.stringMatching(/q_proj.*element 77/) as string,
    })
  })

  test("with a block no f16 scale can hold is refused when quantized", async () => {
    change(q, { data: new Float32Array(4096).fill(1e38) })
    await writeSafetensors(join(folder, "model.safetensors"), tensors)
    await expect(loadBase(folder, { precision: "q8" })).rejects.toMatchObject({
      name: "LaminaError",
      code: "WEIGHTS_MALFORMED",
      message: expect.stringContaining(q) as string,
    })
  })

  test("that promises a billion layers is refused before anything is allocated", async () => {
    const config = JSON.parse(await readFile(join(folder, "config.json"), "utf8")) as object
    await writeFile(join(folder, "config.json"), JSON.stringify({ ...config, num_hidden_layers: 1e9 }))
    await expect(load()).rejects.toMatchObject({ code: "MODEL_CONFIG" })
  })

  test("quantized without its scales is refused", async () => {
    await saveBase(await loadBase(random, { precision: "q8" }), join(folder, "q8"))
    const store = await openSafetensors(join(folder, "q8/model.safetensors"))
    const kept = new Map<string, TensorData>()
    for (const [name, { dtype, shape }] of store.tensors)
      if (name !== `${q}.scales`) kept.set(name, { dtype, shape, data: await store.read(name) })
    await store.close()
    await writeSafetensors(join(folder, "q8/model.safetensors"), kept)
    await expect(loadBase(join(folder, "q8"), { precision: "stored" })).rejects.toMatchObject({
      code: "WEIGHTS_MISSING",
      message: expect.stringContaining(`${q}.scales`) as string,
    })
  })
})

describe("sharedBase", () => {
  beforeEach(() => cp(random, folder, { recursive: true }))

  test("gives one copy per folder and precision, also to callers at once", async () => {
    const [first, second] = await Promise.all([sharedBase(folder, "stored"), sharedBase(`${folder}/.`, "stored")])
    expect(second).toBe(first)
    expect(await sharedBase(folder, "stored")).toBe(first)
    expect((await sharedBase(folder, "q8")).precision).toBe("q8")
  })

  test("reads a folder again when its files have changed", async () => {
    const first = await sharedBase(folder, "stored")
    await utimes(join(folder, "model.safetensors"), 1, 1)
    const second = await sharedBase(folder, "stored")
    expect(second).not.toBe(first)
    expect(sameLinears(second, first)).toBe(true)
  })

  test("does not remember a failure", async () => {
    const whole = await readFile(join(folder, "config.json"))
    await writeFile(join(folder, "config.json"), "{")
    await expect(sharedBase(folder, "stored")).rejects.toMatchObject({ code: "MODEL_CONFIG" })
    await writeFile(join(folder, "config.json"), whole)
    expect((await sharedBase(folder, "stored")).config.hidden).toBe(64)
  })
})
