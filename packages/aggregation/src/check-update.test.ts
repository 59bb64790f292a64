import type { Plan, UpdateContent } from "@lamina/protocol"

import { checkUpdate } from "./check-update.js"

const module = (name: string, rank = 2): UpdateContent["adapter"]["modules"][number] => ({
  ...{ name, outFeatures: 3, inFeatures: 5, rank, alpha: 4, scaling: "lora" },
  a: Float32Array.from({ length: rank * 5 }, (_, i) => i + 0.5),
  b: Float32Array.from({ length: 3 * rank }, (_, i) => -i),
})
const content: UpdateContent = {
  weight: 9,
  metrics: [{ name: "loss", value: 1.25 }],
  scores: [{ name: "m.a", values: [0.5, 0.25] }],
  adapter: { modules: [module("m.a"), module("m.b", 1)] },
}
const plan = {
  scaling: "lora",
  modules: [
    { name: "m.a", outFeatures: 3, inFeatures: 5, rank: 2, alpha: 4 },
    { name: "m.b", outFeatures: 3, inFeatures: 5, rank: 1, alpha: 4 },
  ],
} as unknown as Plan

test("an update as planned passes", () => {
  expect(() => checkUpdate(content, plan)).not.toThrow()
})

const wrong = (change: Partial<UpdateContent["adapter"]["modules"][number]>): UpdateContent => ({
  ...content,
  adapter: { modules: [{ ...module("m.a"), ...change } as never, module("m.b", 1)] },
})

test.each([
  ["UPDATE_WEIGHT", { ...content, weight: 0 }],
  ["UPDATE_MODULE", { ...content, adapter: { modules: [module("m.a"), module("m.c", 1)] } }],
  ["UPDATE_MODULE", { ...content, adapter: { modules: [module("m.a")] } }],
  ["UPDATE_MODULE", { ...content, adapter: { modules: [module("m.a"), module("m.a"), module("m.b", 1)] } }],
  ["UPDATE_RANK", { ...content, adapter: { modules: [module("m.a", 4), module("m.b", 1)] } }],
  ["UPDATE_RANK", wrong({ alpha: 8 })],
  ["UPDATE_RANK", wrong({ scaling: "rslora" })],
  ["UPDATE_SHAPE", wrong({ inFeatures: 2, outFeatures: 3, a: new Float32Array(4) })],
  ["UPDATE_NOT_FINITE", wrong({ a: new Float32Array(10).fill(NaN) })],
  ["UPDATE_NOT_FINITE", wrong({ b: Float32Array.of(0, 0, 0, 0, 0, -Infinity) })],
  ["UPDATE_NOT_FINITE", wrong({ b: Float32Array.of(0, 0, 1001, 0, 0, 0) })],
])("%s for an update that breaks its plan", (code, update) => {
  expect(() => checkUpdate(update as UpdateContent, plan)).toThrow(expect.objectContaining({ code }))
})

test("values at the bound pass: -0, subnormals and ±1000", () => {
  const update = wrong({ b: Float32Array.of(-0, 1e-40, 1000, -1000, 0, 1) })
  expect(() => checkUpdate(update, plan)).not.toThrow()
})
