import { adapterGrid, adapterPicture, adapterText } from "./adapter-map.js"

const llama = [0, 1, 2, 3].flatMap((layer) =>
  ["mlp.up_proj", "self_attn.q_proj", "self_attn.v_proj"].map((linear) => `model.layers.${layer}.${linear}`),
)
const ranked = (ranks: Readonly<Record<string, number>>) =>
  llama.flatMap((name) => {
    const rank = ranks[name.replace("model.layers.", "")]
    return rank === undefined ? [] : [{ name, rank }]
  })

test("linears with the same rank in the same layers are said together", () => {
  const modules = ranked({
    ...{ "1.self_attn.q_proj": 16, "2.self_attn.q_proj": 16, "1.self_attn.v_proj": 16, "2.self_attn.v_proj": 16 },
    ...{ "0.mlp.up_proj": 4, "1.mlp.up_proj": 4, "3.mlp.up_proj": 4 },
  })
  expect(adapterText(adapterGrid(llama, modules))).toBe("up of layers 0-1,3: 4; q,v of layers 1-2: 16")
})

test("every linear at one rank is all, and many different parts are counted", () => {
  const all = llama.map((name) => ({ name, rank: 8 }))
  expect(adapterText(adapterGrid(llama, all))).toBe("all of layers 0-3: 8")
  const mixed = llama.map((name, i) => ({ name, rank: 4 + i }))
  expect(adapterText(adapterGrid(llama, mixed))).toBe("12 linears: 4-15")
})

test("the picture has a row per linear, higher where the rank is, and a dot where there is none", () => {
  const modules = ranked({ "0.self_attn.q_proj": 4, "1.self_attn.q_proj": 8, "3.mlp.up_proj": 16 })
  expect(adapterPicture(adapterGrid(llama, modules), [4, 8, 16])).toBe("  up ···█\n  q  ▁▅··\n  v  ····")
})

test("linears whose last names are alike keep what tells them apart", () => {
  const names = ["transformer.h.0.attn.c_proj", "transformer.h.0.mlp.c_proj", "transformer.h.0.mlp.c_fc"]
  const { linears, rank } = adapterGrid(names, [{ name: names[1] as string, rank: 4 }])
  expect(linears).toEqual(["attn.c_proj", "mlp.c_proj", "c_fc"])
  expect([rank("attn.c_proj", 0), rank("mlp.c_proj", 0)]).toEqual([0, 4])
})
