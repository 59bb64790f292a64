import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

import type { Adapter, AdapterModule } from "@lamina/protocol"
import { LaminaError } from "@lamina/protocol/errors"

import { threefry, uniformArray } from "../model/counter-random.js"
import { openSafetensors } from "../weights/safetensors-file.js"
import { writeSafetensors } from "../weights/safetensors-write.js"
import type { TensorData } from "../weights/safetensors-write.js"
import { readPeftAdapter } from "./read-adapter.js"
import { writePeftAdapter } from "./write-adapter.js"

const vectors = fileURLToPath(new URL("../../../../test/vectors/model/random/", import.meta.url))

let folder = ""
beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), "lamina-peft-"))))
afterEach(() => rm(folder, { recursive: true }))

function moduleOf(name: string, given: Partial<AdapterModule> = {}): AdapterModule {
  const shape = { outFeatures: 3, inFeatures: 5, rank: 2, alpha: 4, scaling: "lora" as const, ...given }
  const draw = (stream: number, length: number): Float32Array =>
    uniformArray([shape.rank, 77], { stream, length, bound: 1 })
  return { name, ...shape, a: draw(0, shape.rank * shape.inFeatures), b: draw(1, shape.outFeatures * shape.rank) }
}

/** Ranks and alphas of three kinds, as stacking gives them; "x.q" and "y.x.q" end alike, and so do "1.k" and "11.k". */
const MIXED: Adapter = {
  modules: [
    moduleOf("layers.1.k", { rank: 3, alpha: 3 }),
    moduleOf("layers.11.k", { rank: 7, alpha: 7 }),
    moduleOf("x.q", { rank: 3, alpha: 2.5 }),
    moduleOf("y.x.q", { rank: 3, alpha: 3 }),
  ],
}

describe("writing", () => {
  test("an adapter of mixed ranks and alphas reads back the same", async () => {
    await writePeftAdapter(folder, MIXED, { baseName: "base" })
    expect(await readPeftAdapter(folder)).toEqual(MIXED)
  })

  test("keys of the patterns match one module each, as PEFT matches them", async () => {
    await writePeftAdapter(folder, MIXED, { baseName: "base" })
    const config = JSON.parse(await readFile(join(folder, "adapter_config.json"), "utf8")) as {
      r: number
      lora_alpha: number
      rank_pattern: Record<string, number>
      alpha_pattern: Record<string, number>
    }
    for (const { name, rank, alpha } of MIXED.modules) {
      // peft/utils/other.py, get_pattern_key: re.match(rf"(.*\.)?({key})$", name)
      const found = (pattern: Record<string, number>): number | undefined =>
        Object.entries(pattern).find(([key]) => new RegExp(`^(.*\\.)?(${key})$`).test(name))?.[1]
      expect([name, found(config.rank_pattern) ?? config.r]).toEqual([name, rank])
      expect([name, found(config.alpha_pattern) ?? config.lora_alpha]).toEqual([name, alpha])
    }
  })

  test("the same adapter gives the same bytes, and no other file", async () => {
    const again = join(folder, "again")
    await writePeftAdapter(folder, MIXED, { baseName: "base" })
    await writePeftAdapter(again, { modules: [...MIXED.modules].reverse() }, { baseName: "base" })
    expect((await readdir(again)).sort()).toEqual(["adapter_config.json", "adapter_model.safetensors"])
    expect(await readFile(join(again, "adapter_model.safetensors"))).toEqual(
      await readFile(join(folder, "adapter_model.safetensors")),
    )
  })

  test("rslora travels as use_rslora", async () => {
    const adapter = { modules: [moduleOf("q", { scaling: "rslora" })] }
    await writePeftAdapter(folder, adapter, { baseName: "base" })
    expect(await readPeftAdapter(folder)).toEqual(adapter)
  })

  const HELD: [string, Adapter][] = [
    ["no modules", { modules: [] }],
    ["two scaling rules", { modules: [moduleOf("q"), moduleOf("k", { scaling: "rslora" })] }],
    ["a name that is no path", { modules: [moduleOf("q[0]")] }],
    ["factors too short", { modules: [{ ...moduleOf("q"), b: new Float32Array(5) }] }],
  ]
  test.each(HELD)("%s is refused before anything is written", async (_, adapter) => {
    await expect(writePeftAdapter(folder, adapter, { baseName: "" })).rejects.toMatchObject({
      code: "ADAPTER_MALFORMED",
    })
    expect(await readdir(folder)).toEqual([])
  })
})

describe("reading what PEFT wrote", () => {
  test("gives its modules in name order with rank, alpha and rule", async () => {
    const { modules } = await readPeftAdapter(join(vectors, "adapter"))
    expect(modules).toHaveLength(14) // 7 linears in 2 layers
    expect(modules.map(({ name }) => name)).toEqual(modules.map(({ name }) => name).sort())
    for (const module of modules) expect(module).toMatchObject({ rank: 4, alpha: 8, scaling: "lora" })
    const down = modules[0] as AdapterModule
    expect(down).toMatchObject({ name: "model.layers.0.mlp.down_proj", outFeatures: 64, inFeatures: 96 })
    const store = await openSafetensors(join(vectors, "adapter/adapter_model.safetensors"))
    const stored = await store.read("base_model.model.model.layers.0.mlp.down_proj.lora_B.weight")
    expect([...down.b]).toEqual([...new Float32Array(stored.buffer)])
    await store.close()
  })

  test("gives the rule of use_rslora", async () => {
    const { modules } = await readPeftAdapter(join(vectors, "adapter_rslora"))
    expect(new Set(modules.map(({ scaling }) => scaling))).toEqual(new Set(["rslora"]))
  })
})

describe("a folder", () => {
  type Config = Record<string, unknown>
  let config: Config
  let tensors: Map<string, TensorData>
  const A = "base_model.model.q.lora_A.weight"
  const B = "base_model.model.q.lora_B.weight"

  /** One module q, square where it can mislead: rank 2, 2 out, 2 in. */
  beforeEach(() => {
    config = { peft_type: "LORA", r: 2, lora_alpha: 4, bias: "none", target_modules: ["q"] }
    tensors = new Map([
      [A, { dtype: "F32", shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) }],
      [B, { dtype: "F32", shape: [2, 2], data: Float32Array.of(5, 6, 7, 8) }],
    ])
  })
  const read = async (): Promise<Adapter> => {
    await writeSafetensors(join(folder, "adapter_model.safetensors"), tensors)
    await writeFile(join(folder, "adapter_config.json"), JSON.stringify(config))
    return readPeftAdapter(folder)
  }

  test("with the least PEFT needs is read, A and B told apart by name", async () => {
    expect(await read()).toEqual({
      modules: [
        {
          ...{ name: "q", outFeatures: 2, inFeatures: 2, rank: 2, alpha: 4, scaling: "lora" },
          a: Float32Array.of(1, 2, 3, 4),
          b: Float32Array.of(5, 6, 7, 8),
        },
      ],
    })
  })

  test("in f16 and bf16 is read as f32", async () => {
    tensors.set(A, { dtype: "F16", shape: [2, 2], data: Uint16Array.of(0x3c00, 0xc000, 0x3800, 0x0001) })
    tensors.set(B, { dtype: "BF16", shape: [2, 2], data: Uint16Array.of(0x3f80, 0xc000, 0x3f00, 0x4049) })
    const [module] = (await read()).modules
    expect([...(module?.a ?? [])]).toEqual([1, -2, 0.5, 2 ** -24])
    expect([...(module?.b ?? [])]).toEqual([1, -2, 0.5, 3.140625]) // 0x4049: 1.5703125 * 2
  })

  test.each([
    ["q", 3],
    ["^q", 3],
    ["layers.q", 2],
    ["z", 2],
  ])("a rank_pattern key %p gives q rank %i", async (key, rank) => {
    config.rank_pattern = { [key]: 3 }
    tensors.set(A, { dtype: "F32", shape: [rank, 2], data: new Float32Array(2 * rank) })
    tensors.set(B, { dtype: "F32", shape: [2, rank], data: new Float32Array(2 * rank) })
    expect((await read()).modules[0]?.rank).toBe(rank)
  })

  test("takes the first of several keys that end a name, as PEFT does", async () => {
    tensors = new Map([...tensors].map(([key, data]) => [key.replace(".q.", ".layers.0.attn.q."), data]))
    config.alpha_pattern = { "1.attn.q": 5, "attn\\.q": 6, q: 7, "^layers.0.attn.q": 8 }
    expect((await read()).modules[0]?.alpha).toBe(6)
    config.alpha_pattern = { "^attn.q": 5, "^layers.0.attn.q": 8, q: 7 }
    expect((await read()).modules[0]?.alpha).toBe(8)
  })

  const CONFIGS: [string, Config][] = [
    ["peft_type", { peft_type: "LOHA" }],
    ["peft_type", { peft_type: undefined }],
    ["use_dora", { use_dora: true }],
    ["lora_bias", { lora_bias: true }],
    ["bias", { bias: "lora_only" }],
    ["modules_to_save", { modules_to_save: ["lm_head"] }],
    ["layer_replication", { layer_replication: [[0, 2]] }],
    ["trainable_token_indices", { trainable_token_indices: { embed_tokens: [1] } }],
    ["init_lora_weights", { init_lora_weights: "pissa" }],
    ["use_rslora", { use_rslora: "yes" }],
    ["r", { r: 0 }],
    ["r", { r: "2" }],
    ["r", { r: 2.5 }],
    ["lora_alpha", { lora_alpha: null }],
    ["lora_alpha", { lora_alpha: -1 }],
    ["rank_pattern", { rank_pattern: ["q"] }],
    ["rank_pattern", { rank_pattern: { "(a+)+": 3 } }],
    ["rank_pattern", { rank_pattern: { q: 0 } }],
    ["rank_pattern", { rank_pattern: { ["q".repeat(401)]: 3 } }],
    ["alpha_pattern", { alpha_pattern: { q: "8" } }],
  ]
  test.each(CONFIGS)("whose config has a wrong %s is refused by key", async (key, changes) => {
    config = { ...config, ...changes }
    await expect(read()).rejects.toMatchObject({
      name: "LaminaError",
      code: "ADAPTER_MALFORMED",
      message: expect.stringContaining(`adapter_config.json: ${key}: `) as string,
    })
  })

  const TENSORS: [string, () => unknown, string][] = [
    ["no lora_B", () => tensors.delete(B), "q: expected lora_A and lora_B, lora_B is missing"],
    ["no lora_A", () => tensors.delete(A), "lora_A is missing"],
    ["no tensor", () => tensors.clear(), "factors of 1 to"],
    ["another rank than its config", () => (config.r = 1), "lora_A.weight: expected shape [1, in features]"],
    ["a B of another rank", () => set(B, [2, 3]), "lora_B.weight: expected shape [out features, 2]"],
    ["an A of three dimensions", () => set(A, [2, 2, 1]), "lora_A.weight: expected shape"],
    ["an A without columns", () => set(A, [2, 0]), "lora_A.weight: expected shape"],
    ["integers", () => set(A, [2, 2], "I32"), "lora_A.weight: expected F32, BF16 or F16, got I32"],
    ["a NaN", () => setValues(A, [1, NaN, 3, 4]), "finite values, got NaN or Infinity at element 1"],
    ["an infinity", () => setValues(B, [1, 2, 3, -Infinity]), "at element 3"],
    [
      "LoRA on an embedding",
      () => set("base_model.model.e.lora_embedding_A", [2, 2]),
      "LoRA on embeddings is not supported",
    ],
    ["DoRA's magnitudes", () => set("base_model.model.q.lora_magnitude_vector", [2]), "DoRA is not supported"],
    ["a trained bias", () => set("base_model.model.q.base_layer.bias", [2]), "trained biases are not supported"],
    [
      "a saved module",
      () => set("base_model.model.lm_head.modules_to_save.weight", [2, 2]),
      "modules_to_save is not supported",
    ],
    ["any other key", () => set("q.lora_A.weight", [2, 2]), '"q.lora_A.weight": expected base_model.model.'],
    ["a name with a slash", () => set("base_model.model.../q.lora_A.weight", [2, 2]), "expected base_model.model."],
    ["a name of 201 characters", () => set(`base_model.model.${"q".repeat(201)}.lora_A.weight`, [2, 2]), "at most 200"],
  ]
  const set = (name: string, shape: number[], dtype: "F32" | "I32" = "F32"): unknown =>
    tensors.set(name, { dtype, shape, data: new Float32Array(shape.reduce((product, size) => product * size, 1)) })
  const setValues = (name: string, values: number[]): unknown =>
    tensors.set(name, { dtype: "F32", shape: [2, 2], data: Float32Array.from(values) })

  test.each(TENSORS)("with %s is refused", async (_, change, message) => {
    change()
    await expect(read()).rejects.toMatchObject({
      name: "LaminaError",
      code: "ADAPTER_MALFORMED",
      message: expect.stringContaining(message) as string,
    })
  })

  test.each(["adapter_config.json", "adapter_model.safetensors"])("without %s is refused", async (file) => {
    await read()
    await rm(join(folder, file))
    await expect(readPeftAdapter(folder)).rejects.toMatchObject({
      code: "ADAPTER_MALFORMED",
      message: expect.stringContaining(file) as string,
    })
  })
})

test("2,000 damaged folders are refused with our code or read as finite factors", async () => {
  await cp(join(vectors, "adapter"), folder, { recursive: true })
  const files = await Promise.all(
    ["adapter_config.json", "adapter_model.safetensors"].map((file) => readFile(join(folder, file))),
  )
  const headerEnd = 8 + Number(files[1]?.readBigUInt64LE() ?? 0)
  let refused = 0
  for (let seed = 0; seed < 2_000; seed++) {
    const [which, changes] = threefry([seed, 2], [0, 0])
    const file = which % 4 === 0 ? "adapter_config.json" : "adapter_model.safetensors"
    const whole = files[which % 4 === 0 ? 0 : 1] as Buffer
    const bytes = Buffer.from(whole)
    // half of the changes to the weight file go to its header, a tenth of it
    const span = which % 4 === 0 ? bytes.length : which % 2 === 0 ? headerEnd : bytes.length
    for (let i = 0; i <= changes % 3; i++) {
      const [at, value] = threefry([seed, 3], [i, 0])
      bytes[at % span] = value & 255
    }
    await writeFile(join(folder, file), which % 16 === 1 ? bytes.subarray(0, changes % bytes.length) : bytes)
    try {
      for (const { a, b } of (await readPeftAdapter(folder)).modules)
        if (![...a, ...b].every(Number.isFinite)) throw new Error(`seed ${seed}: not finite`)
    } catch (error) {
      if (!(error instanceof LaminaError)) throw error
      expect(error.code).toBe("ADAPTER_MALFORMED")
      refused++
    }
    await writeFile(join(folder, file), whole)
  }
  // damage to the header, to keys and to values of the config is refused; to mantissas and to unread fields it is not
  expect(refused).toBeGreaterThan(800)
  expect(refused).toBeLessThan(2_000)
})
