import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

import { hasErrorCode } from "@lamina/protocol/errors"

import { encodeGguf } from "../gguf/encode-gguf.js"
import type { GgufData, GgufEntry } from "../gguf/encode-gguf.js"
import { loadBase } from "./load-base.js"
import { writeSafetensors } from "./safetensors-write.js"
import type { TensorData } from "./safetensors-write.js"

/**
 * Mutated model files, all from fixed seeds: each is loaded as a stranger's file would be, and must load or be refused
 * with one of our codes, a message that names the file and says what was expected, and no memory beyond its own size.
 */
const FILES_EACH = 5_000
/** What the arrays of ten thousand loads of 10 KB may add up to before they are collected; one absurd size is more. */
const MEMORY_MAX = 512 * 2 ** 20

/** After the file: the field and what was expected of it; or what is wrong with the file as a whole. */
const NAMED = /^\S[^:]*(: .*)?: .*expected|^expected (tensor \S|at least 8 bytes|data up to byte)/s

/** mulberry32 */
function generator(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}

const EXTREMES = [0n, 1n, 2n, 31n, 255n, 2n ** 16n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]

/** One of seven ways to spoil a file; `header` is how far its first part goes. */
function mutate(original: Buffer, header: number, random: (below: number) => number): Buffer {
  const bytes = Buffer.from(original)
  const at = random(header)
  const piece = bytes.subarray(at, at + 1 + random(24))
  switch (random(7)) {
    case 0:
      return bytes.subarray(0, random(bytes.length))
    case 1:
      bytes[at] = random(256)
      return bytes
    case 2: // a field of 8 bytes, all values at each end
      if (at + 8 <= bytes.length) bytes.writeBigUInt64LE(EXTREMES[random(EXTREMES.length)] ?? 0n, at)
      return bytes
    case 3: // a field of 4 bytes
      if (at + 4 <= bytes.length) bytes.writeUInt32LE(Number((EXTREMES[random(8)] ?? 0n) & 0xffff_ffffn), at)
      return bytes
    case 4: // a part twice
      return Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at)])
    case 5: // a part left out
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + piece.length)])
    default: {
      const from = random(header) // a part over another one: names twice, data overlapping
      piece.copy(bytes, from)
      return bytes
    }
  }
}

/** Numbers, types and brackets of a JSON header, replaced. */
function mutateJson(original: Buffer, header: number, random: (below: number) => number): Buffer {
  const values = [
    "-1",
    "0",
    "1e999",
    "9007199254740993",
    "null",
    '"F32"',
    '"Q9"',
    "[]",
    "{}",
    "1.5",
    "18446744073709551615",
  ]
  const text = original.subarray(8, header).toString("utf8")
  const spots = [...text.matchAll(/\d+|"(F32|data_offsets|shape|dtype)"|\[|\]/g)]
  const spot = spots[random(spots.length)]
  if (spot === undefined) return original
  const changed =
    text.slice(0, spot.index) + (values[random(values.length)] ?? "") + text.slice(spot.index + spot[0].length)
  const body = Buffer.from(changed, "utf8")
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(body.length))
  return Buffer.concat([length, body, original.subarray(header)])
}

let folder = ""
beforeAll(async () => (folder = await mkdtemp(join(tmpdir(), "lamina-hostile-"))))
afterAll(() => rm(folder, { recursive: true }))

/** How many files loaded; throws at the first that failed as none may. */
async function loadAll(path: string, load: string, make: () => Buffer): Promise<number> {
  const before = process.memoryUsage().arrayBuffers
  let loaded = 0
  for (let i = 0; i < FILES_EACH; i++) {
    await rm(path, { force: true }) // a new file: the old one may still be mapped
    await writeFile(path, make())
    try {
      await loadBase(load, { precision: "stored" })
      loaded++
    } catch (error) {
      if (!hasErrorCode(error) || error.code === "INTERNAL" || !error.message.startsWith(folder))
        throw new Error(`file ${i}: ${String(error)}`, { cause: error })
      const said = error.message.slice(error.message.indexOf(": ") + 2) // behind the file
      if (!NAMED.test(said))
        throw new Error(`file ${i} is refused without its field: ${error.message}`, { cause: error })
    }
    const held = process.memoryUsage().arrayBuffers - before
    if (held > MEMORY_MAX) throw new Error(`file ${i}: ${held} bytes of arrays are held`)
  }
  return loaded
}

const METADATA: Readonly<Record<string, GgufEntry>> = {
  "general.architecture": { string: "llama" },
  "llama.block_count": { u32: 1 },
  "llama.context_length": { u32: 64 },
  "llama.embedding_length": { u32: 32 },
  "llama.feed_forward_length": { u32: 32 },
  "llama.attention.head_count": { u32: 2 },
  "llama.attention.head_count_kv": { i32s: [2] },
  "llama.attention.layer_norm_rms_epsilon": { f32: 1e-5 },
  "llama.rope.freq_base": { f32: 10_000 },
  "tokenizer.ggml.tokens": { strings: ["a", "b", "é"] },
}

test("mutated GGUF files load or are refused by field", async () => {
  const matrix = (): GgufData => ({ type: 8, shape: [32, 32], data: new Uint8Array(32 * 34).fill(7) })
  const vector = (): GgufData => ({ type: 0, shape: [32], data: new Float32Array(32).fill(1) })
  const linears = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
  const tensors = new Map<string, GgufData>([
    ["token_embd.weight", matrix()],
    ["output_norm.weight", vector()],
    ...["attn_norm", "ffn_norm"].map((name): [string, GgufData] => [`blk.0.${name}.weight`, vector()]),
    ...linears.map((name): [string, GgufData] => [`blk.0.${name}.weight`, matrix()]),
  ])
  const [head = new Uint8Array(), ...rest] = encodeGguf(METADATA, tensors)
  const original = Buffer.concat([head, ...rest])
  const path = join(folder, "model.gguf")
  await writeFile(path, original)
  await expect(loadBase(path, { precision: "stored" })).resolves.toMatchObject({ config: { hidden: 32 } })
  const random = generator(4)
  const loaded = await loadAll(path, path, () => mutate(original, head.length, random))
  expect(loaded).toBeLessThan(FILES_EACH / 2) // a changed rope base or token still loads
}, 300_000)

test("mutated safetensors files load or are refused by field", async () => {
  const model = join(folder, "safetensors")
  const random = generator(5)
  const config = await readFile(
    fileURLToPath(new URL("../../../../test/vectors/model/random/config.json", import.meta.url)),
    "utf8",
  )
  const small = { hidden_size: 8, intermediate_size: 8, num_hidden_layers: 1, vocab_size: 8, head_dim: 4 }
  await mkdir(model)
  const settings = { ...(JSON.parse(config) as object), ...small, num_attention_heads: 2, num_key_value_heads: 2 }
  await writeFile(join(model, "config.json"), JSON.stringify(settings))
  const tensor = (...shape: number[]): TensorData => ({
    dtype: "F32",
    shape,
    data: new Float32Array(shape.reduce((product, size) => product * size, 1)).fill(1),
  })
  const linears = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj"]
  const names = [...linears, "mlp.up_proj", "mlp.down_proj"].map((name) => `model.layers.0.${name}`)
  const norms = ["model.layers.0.input_layernorm", "model.layers.0.post_attention_layernorm", "model.norm"]
  const path = join(model, "model.safetensors")
  const tensors = new Map([
    ...["model.embed_tokens", ...names].map((name): [string, TensorData] => [`${name}.weight`, tensor(8, 8)]),
    ...norms.map((name): [string, TensorData] => [`${name}.weight`, tensor(8)]),
  ])
  await writeSafetensors(path, tensors, { format: "pt" })
  const original = await readFile(path)
  const header = 8 + Number(original.readBigUInt64LE(0))
  await expect(loadBase(model, { precision: "stored" })).resolves.toMatchObject({ config: { hidden: 8 } })
  const loaded = await loadAll(path, model, () =>
    random(2) === 0 ? mutateJson(original, header, random) : mutate(original, header, random),
  )
  expect(loaded).toBeLessThan(FILES_EACH / 2) // spaces and metadata may change
}, 300_000)
