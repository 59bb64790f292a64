import { readFileSync } from "node:fs"

import { allocateFrozen, checkFrozen, dequantize, frozenArrays, valuesOf } from "@lamina/kernels"

import { BLOCK_TYPES, blockReader } from "./block-rows.js"
import { ggmlType } from "./ggml-types.js"

/** Random blocks of every type, the arrays they are and gguf-py's dequantization (test/oracle/gguf_blocks.py). */
interface Case {
  readonly type: string
  readonly blocks: string
  readonly format: string
  readonly arrays: Readonly<Record<string, string>>
  readonly values: string
}
const { rows, cols, cases } = JSON.parse(
  readFileSync(new URL("../../../../test/vectors/formats/gguf-blocks.json", import.meta.url), "utf8"),
) as { rows: number; cols: number; cases: Case[] }
const blockCases = cases.filter(({ type }) => BLOCK_TYPES.includes(type))

test("every type that can be held has a vector", () => {
  expect(blockCases.map(({ type }) => type).sort()).toEqual([...BLOCK_TYPES].sort())
})

test.each(blockCases)("$type unpacks to the arrays and values of gguf-py, but for signs of zeros", (vector) => {
  const reader = blockReader(vector.type)
  if (reader === undefined) throw new Error("no reader")
  expect(reader.format).toBe(vector.format)
  const weight = allocateFrozen(reader.format, rows, cols)
  const bytes = new Uint8Array(Buffer.from(vector.blocks, "base64"))
  for (let row = 0; row < rows; row++) reader.unpack({ bytes, start: (row * bytes.length) / rows, row }, weight)
  checkFrozen(vector.type, weight)
  for (const { name } of frozenArrays(reader.format, rows, cols)) {
    const values = valuesOf(weight, name)
    const stored = Buffer.from(values?.buffer ?? new ArrayBuffer(0)).toString("base64")
    expect([name, stored]).toEqual([name, vector.arrays[name]])
  }
  const expected = new Float32Array(Uint8Array.from(Buffer.from(vector.values, "base64")).buffer)
  const positiveZeros = (values: Float32Array): number[] => Array.from(values, (value) => value + 0)
  expect(positiveZeros(dequantize(weight))).toEqual(positiveZeros(expected))
})

test("a type that cannot be held has no reader, and ggml's sizes are those of its blocks", () => {
  expect(blockReader("Q3_K")).toBeUndefined()
  expect(blockReader("constructor")).toBeUndefined()
  expect(ggmlType(12)).toEqual({ name: "Q4_K", elements: 256, bytes: 144 })
  expect(ggmlType(4)).toBeUndefined()
})
