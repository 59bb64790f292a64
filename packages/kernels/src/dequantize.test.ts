import { readFileSync } from "node:fs"

import { dequantize, dequantizeRow } from "./dequantize.js"
import { allocateFrozen, checkFrozen, frozenArrays, frozenOf, valuesOf } from "./frozen.js"
import type { FrozenElement, FrozenValues, FrozenWeight, WeightFormat } from "./frozen.js"
import { NF4_LEVELS } from "./nf4.js"
import { quantize, requantize } from "./quantize.js"

interface Vectors {
  readonly rows: number
  readonly cols: number
  readonly cases: readonly {
    readonly type: string
    readonly format: WeightFormat
    readonly arrays: Record<string, string>
    readonly values: string
  }[]
  readonly nf4Levels: readonly number[]
}

/** Written by gguf-py: test/oracle/gguf_blocks.py. */
const vectors = JSON.parse(
  readFileSync(new URL("../../../test/vectors/formats/gguf-blocks.json", import.meta.url), "utf8"),
) as Vectors

const VIEWS: Record<FrozenElement, new (buffer: ArrayBuffer) => FrozenValues> = {
  F32: Float32Array,
  BF16: Uint16Array,
  F16: Uint16Array,
  I8: Int8Array,
  U8: Uint8Array,
}

const bufferOf = (base64: string): ArrayBuffer => Uint8Array.from(Buffer.from(base64, "base64")).buffer

test.each(vectors.cases)("$type as $format has the very values that gguf-py gives", ({ format, arrays, values }) => {
  const { rows, cols } = vectors
  const weight = frozenOf({ format, rows, cols }, ({ name, element }) => new VIEWS[element](bufferOf(arrays[name]!)))
  const expected = new Float32Array(bufferOf(values))
  expect(expected).toHaveLength(rows * cols)
  // === and not the bits: Q4_0 has -0 where code * scale + min is 0
  expect(dequantize(weight).findIndex((value, i) => value !== expected[i])).toBe(-1)
})

test("NF4's levels are the quantiles of the paper", () => {
  // bitsandbytes computed them in f32, through an inverse that is good to 1e-6
  for (const [i, level] of vectors.nf4Levels.entries()) expect(Math.abs(NF4_LEVELS[i]! - level)).toBeLessThan(1e-6)
  expect(NF4_LEVELS[7]).toBe(0)
})

test("nf4 by hand: the level times superScale · scale + offset", () => {
  const weight = allocateFrozen("nf4", 2, 70)
  // 2 blocks a row; block 3 is the second of row 1, and byte 1 of its codes holds columns 65 (low) and 81
  weight.scales[3] = -100
  weight.superScales[0] = 0.001
  weight.offset[0] = 0.5
  weight.codes[3 * 32 + 1] = 0xf0 | 12
  const row = new Float32Array(71)
  dequantizeRow(weight, 1, row, 1)
  const scale = Math.fround(Math.fround(0.001) * -100 + 0.5)
  expect(row[1 + 65]).toBe(Math.fround(NF4_LEVELS[12]! * scale))
  expect(row[1 + 64]).toBe(-scale)
  expect(row[1]).toBe(-0.5)
})

test("rows come one at a time as in the whole, and every format quantizes further", () => {
  for (const { format, arrays } of vectors.cases) {
    const { rows, cols } = vectors
    const weight = frozenOf({ format, rows, cols }, ({ name, element }) => new VIEWS[element](bufferOf(arrays[name]!)))
    const row = new Float32Array(cols + 3)
    dequantizeRow(weight, 1, row, 3)
    expect(row.subarray(3)).toEqual(dequantize(weight).subarray(cols))
    expect(requantize(weight, "nf4")).toEqual(quantize({ rows, cols, values: dequantize(weight) }, "nf4"))
  }
})

test("allocateFrozen gives every format arrays that pass checkFrozen, on shared memory", () => {
  const formats: readonly WeightFormat[] = ["f32", "bf16", "f16", "q8", "q4", "q5", "q4k", "q5k", "q6k", "nf4"]
  for (const format of formats) {
    const weight: FrozenWeight = allocateFrozen(format, 3, 512)
    checkFrozen("w", weight)
    for (const { name } of frozenArrays(format, 3, 512)) {
      expect(valuesOf(weight, name)!.buffer).toBeInstanceOf(SharedArrayBuffer)
      const short = { ...weight, [name]: valuesOf(weight, name)!.subarray(1) } as FrozenWeight
      expect(() => checkFrozen("w", short)).toThrow(expect.objectContaining({ code: "KERNEL_SHAPE" }))
      const wrong = { ...weight, [name]: new Float64Array(valuesOf(weight, name)!.length) } as unknown as FrozenWeight
      expect(() => checkFrozen("w", wrong)).toThrow(`w.${name} (${format}): expected a`)
    }
  }
})

test("formats with superblocks refuse rows that are not whole superblocks", () => {
  for (const format of ["q4k", "q5k", "q6k"] as const)
    expect(() => allocateFrozen(format, 2, 288)).toThrow(`${format}: expected cols in multiples of 256, got 288`)
})
