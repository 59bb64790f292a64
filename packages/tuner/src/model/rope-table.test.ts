import { readFileSync } from "node:fs"

import { ConfigFields } from "../weights/config-fields.js"
import { ropeSettings } from "./families/rope-settings.js"
import { ropeFrequencies, ropeTable } from "./rope-table.js"

test("the angle of pair i at position p is p · theta^(-2i / headDim)", () => {
  const { cos, sin } = ropeTable({ headDim: 4, theta: 10_000, positions: 3 })
  // pairs per position: theta^0 = 1 and theta^(-1/2) = 0.01
  const angles = [0, 0, 1, 0.01, 2, 0.02]
  expect([...cos]).toEqual(angles.map((angle) => expect.closeTo(Math.cos(angle), 7)))
  expect([...sin]).toEqual(angles.map((angle) => expect.closeTo(Math.sin(angle), 7)))
})

test("angles are rounded to f32 like those the models were trained with", () => {
  const { cos } = ropeTable({ headDim: 6, theta: 10_000, positions: 8_001 })
  // pair 1: f32(10000^f32(1/3)) = 21.544347763..., its inverse in f32 0.0464158877..., times 8000 in f32
  const frequency = Math.fround(1 / Math.fround(10_000 ** Math.fround(2 / 6)))
  expect(cos[8_000 * 3 + 1]).toBe(Math.fround(Math.cos(Math.fround(8_000 * frequency))))
  expect(cos[8_000 * 3 + 1]).not.toBe(Math.fround(Math.cos(8_000 * 10_000 ** (-1 / 3))))
})

describe("scaled frequencies are those of transformers", () => {
  const path = new URL("../../../../test/vectors/model/families/rope.json", import.meta.url)
  const vectors = JSON.parse(readFileSync(path, "utf8")) as Readonly<
    Record<string, { parameters: object; frequencies: readonly number[]; attentionFactor: number }>
  >
  test.each(Object.entries(vectors))("%s", (_, { parameters, frequencies, attentionFactor }) => {
    const rope = ropeSettings(new ConfigFields({ rope_parameters: parameters }, "config.json"), 2_048)
    // both sides compute in f32, in another order: a handful of roundings of 2^-24 each
    const got = [...ropeFrequencies({ ...rope, headDim: 64 })].map((value, i) => value / (frequencies[i] ?? NaN))
    expect(got).toEqual(frequencies.map(() => expect.closeTo(1, 6)))
    // position 0: cos is 1 times the attention factor
    expect(ropeTable({ ...rope, headDim: 64, positions: 1 }).cos[0]).toBeCloseTo(attentionFactor, 6)
  })
})
