import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

import type { Calibration, TunerPool } from "@lamina/tuner"
import { calibrate, loadBase } from "@lamina/tuner"

/**
 * One small model that is the same everywhere, so that the speeds of machines can be compared: Decoder, hidden 256, 4
 * layers, ffn 512, held as f32. Its weights are a fixed sequence: what they predict does not matter.
 */
const SHAPE = { hidden: 256, layers: 4, ffn: 512, heads: 4, context: 128 } as const
const LETTERS = "abcdefghijklmnopqrstuvwxyz ,."
const VOCABULARY = LETTERS.length + 1

/**
 * Tokens/s of LoRA training and of evaluation on that model; takes about two seconds, and ten megabytes of the
 * system's folder for passing files.
 */
export async function measureSpeed(pool: TunerPool): Promise<Calibration> {
  const folder = await mkdtemp(join(tmpdir(), "lamina-calibration-"))
  try {
    await writeModel(folder)
    return await calibrate(await loadBase(folder, { precision: "f32" }), pool)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function writeModel(folder: string): Promise<void> {
  const { hidden, layers, ffn, heads, context } = SHAPE
  const config = {
    ...{ architectures: ["LlamaForCausalLM"], model_type: "llama", hidden_act: "silu", tie_word_embeddings: true },
    ...{
      hidden_size: hidden,
      num_hidden_layers: layers,
      intermediate_size: ffn,
      vocab_size: VOCABULARY,
      rms_norm_eps: 1e-5,
    },
    ...{ num_attention_heads: heads, num_key_value_heads: heads, head_dim: hidden / heads, rope_theta: 10_000 },
    ...{ max_position_embeddings: context, eos_token_id: 0, attention_bias: false, mlp_bias: false },
  }
  const vocab = Object.fromEntries([["<|end|>", 0], ...[...LETTERS].map((letter, i) => [letter, i + 1])])
  const end = {
    id: 0,
    content: "<|end|>",
    special: true,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
  }
  const level = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true }
  const tokenizer = {
    ...{
      version: "1.0",
      normalizer: null,
      post_processor: null,
      pre_tokenizer: level,
      decoder: level,
      added_tokens: [end],
    },
    model: { type: "BPE", vocab, merges: [] },
  }
  await writeFile(join(folder, "config.json"), JSON.stringify(config))
  await writeFile(join(folder, "tokenizer.json"), JSON.stringify(tokenizer))
  await writeFile(join(folder, "model.safetensors"), safetensors(tensorShapes()))
}

function tensorShapes(): Record<string, number[]> {
  const { hidden, layers, ffn } = SHAPE
  const shapes: Record<string, number[]> = {
    "model.embed_tokens.weight": [VOCABULARY, hidden],
    "model.norm.weight": [hidden],
  }
  for (let i = 0; i < layers; i++) {
    const layer = `model.layers.${i}`
    for (const norm of ["input_layernorm", "post_attention_layernorm"]) shapes[`${layer}.${norm}.weight`] = [hidden]
    for (const name of ["q_proj", "k_proj", "v_proj", "o_proj"])
      shapes[`${layer}.self_attn.${name}.weight`] = [hidden, hidden]
    for (const name of ["gate_proj", "up_proj"]) shapes[`${layer}.mlp.${name}.weight`] = [ffn, hidden]
    shapes[`${layer}.mlp.down_proj.weight`] = [hidden, ffn]
  }
  return shapes
}

/** u64le header length, JSON header, f32 data; every value small and none zero. */
function safetensors(shapes: Readonly<Record<string, readonly number[]>>): Uint8Array {
  let offset = 0
  const header: Record<string, unknown> = {}
  for (const [name, shape] of Object.entries(shapes)) {
    const bytes = 4 * shape.reduce((product, size) => product * size, 1)
    header[name] = { dtype: "F32", shape, data_offsets: [offset, offset + bytes] }
    offset += bytes
  }
  const values = Float32Array.from({ length: offset / 4 }, (_, i) => (((i * 7919) % 1009) + 1) / 20_000)
  const json = Buffer.from(JSON.stringify(header).padEnd(Math.ceil(JSON.stringify(header).length / 8) * 8))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.byteLength))
  return Buffer.concat([length, json, new Uint8Array(values.buffer)])
}
