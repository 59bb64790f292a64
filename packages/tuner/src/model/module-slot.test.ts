import { moduleSlot } from "./module-slot.js"

const llama = { architecture: "llama" } as const

test("moduleSlot knows the seven linear layers of a block and nothing else", () => {
  expect(moduleSlot(llama, "model.layers.0.self_attn.q_proj")).toEqual({ layer: 0, linear: "q" })
  expect(moduleSlot(llama, "model.layers.12.mlp.down_proj")).toEqual({ layer: 12, linear: "down" })
  const others = [
    "lm_head",
    "model.embed_tokens",
    "model.layers.01.mlp.up_proj",
    "model.layers.0.mlp",
    "x.model.layers.0.mlp.up_proj",
  ]
  expect(moduleSlot({ architecture: "gpt2" }, "transformer.h.3.attn.c_attn")).toEqual({ layer: 3, linear: "qkv" })
  expect(moduleSlot({ architecture: "gpt2" }, "model.layers.0.self_attn.q_proj")).toBeUndefined()
  expect(others.map((name) => moduleSlot(llama, name))).toEqual(others.map(() => undefined))
})
