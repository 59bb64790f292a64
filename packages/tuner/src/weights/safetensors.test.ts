import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { LaminaError } from "@lamina/protocol/errors"

import { threefry } from "../model/counter-random.js"
import { openCheckpoint } from "./checkpoint-files.js"
import { openSafetensors } from "./safetensors-file.js"
import { writeSafetensors } from "./safetensors-write.js"
import type { TensorData } from "./safetensors-write.js"

let folder = ""
let path = ""
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "lamina-safetensors-"))
  path = join(folder, "model.safetensors")
})
afterEach(() => rm(folder, { recursive: true }))

/** Two tensors, 24 bytes of data. */
const SAMPLE = new Map<string, TensorData>([
  ["b", { dtype: "F32", shape: [2, 2], data: Float32Array.of(1, -2, 0.5, 3) }],
  ["a", { dtype: "I8", shape: [8], data: Int8Array.of(-1, 2, -3, 4, 5, 6, 7, -128) }],
])

const fileOf = (header: unknown, data: number): Buffer => fileOfText(JSON.stringify(header), data)
function fileOfText(header: string, data: number): Buffer {
  const text = Buffer.from(header)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  return Buffer.concat([length, text, Buffer.alloc(data)])
}

test("a file holds sorted names, data from a multiple of 8 on, and nothing that varies", async () => {
  await writeSafetensors(path, SAMPLE, { format: "pt" })
  const header =
    '{"__metadata__":{"format":"pt"},"a":{"dtype":"I8","shape":[8],"data_offsets":[0,8]},' +
    '"b":{"dtype":"F32","shape":[2,2],"data_offsets":[8,24]}}'
  const padded = header.padEnd(Math.ceil(header.length / 8) * 8)
  const expected = Buffer.concat([
    Buffer.from([padded.length, 0, 0, 0, 0, 0, 0, 0]),
    Buffer.from(padded),
    Buffer.from([255, 2, 253, 4, 5, 6, 7, 128]), // two's complement
    Buffer.from("0000803f000000c00000003f00004040", "hex"), // 1, -2, 0.5, 3 as little-endian f32
  ])
  expect(await readFile(path)).toEqual(expected)
  await writeSafetensors(join(folder, "again"), new Map([...SAMPLE].reverse()), { format: "pt" })
  expect(await readFile(join(folder, "again"))).toEqual(expected)
})

test("a written file reads back, on shared memory", async () => {
  await writeSafetensors(path, SAMPLE)
  const store = await openSafetensors(path)
  const b = await store.read("b")
  await store.close()
  expect(b.buffer).toBeInstanceOf(SharedArrayBuffer)
  expect([...new Float32Array(b.buffer)]).toEqual([1, -2, 0.5, 3])
  expect(store.tensors.get("a")).toMatchObject({ dtype: "I8", shape: [8], bytes: 8 })
})

test("nothing but the file is left behind, written or not", async () => {
  await writeSafetensors(path, SAMPLE)
  expect(await readdir(folder)).toEqual(["model.safetensors"])
  const gone = join(folder, "gone", "x.safetensors")
  await expect(writeSafetensors(gone, SAMPLE)).rejects.toMatchObject({ code: "FILE_UNWRITABLE" })
  expect(await readdir(folder)).toEqual(["model.safetensors"])
})

test("tensors of no elements and scalars are tensors", async () => {
  const header = {
    none: { dtype: "F32", shape: [0, 5], data_offsets: [0, 0] },
    one: { dtype: "F64", shape: [], data_offsets: [0, 8] },
  }
  await writeFile(path, fileOf(header, 8))
  const store = await openSafetensors(path)
  expect(await store.read("none")).toHaveLength(0)
  expect(await store.read("one")).toHaveLength(8)
  await expect(store.read("two")).rejects.toMatchObject({ code: "WEIGHTS_MISSING" })
  await store.close()
})

/** One f32 vector of 4; each entry changes it into something refused. */
const tensor = { dtype: "F32", shape: [4], data_offsets: [0, 16] }
const deep = `{"a":${'{"a":'.repeat(2)}1${"}".repeat(2)}}`
const REFUSED: [string, Buffer, string, string][] = [
  ["an empty file", Buffer.alloc(0), "WEIGHTS_MALFORMED", "at least 8 bytes"],
  ["a file cut in its length", Buffer.alloc(7), "WEIGHTS_MALFORMED", "at least 8 bytes"],
  ["a header cut off", fileOf({ a: tensor }, 16).subarray(0, 30), "WEIGHTS_MALFORMED", "header length"],
  ["a header length of 0", Buffer.alloc(24), "WEIGHTS_MALFORMED", "header length"],
  ["a header length of 2^64 - 1", Buffer.alloc(24, 255), "WEIGHTS_MALFORMED", "18446744073709551615"],
  ["a header that is no JSON", fileOfText("{]", 0), "WEIGHTS_MALFORMED", "expected JSON"],
  ["a header that is a list", fileOfText("[]", 0), "WEIGHTS_MALFORMED", "JSON object"],
  ["a header that is no UTF-8", fileOfText("{}", 0).fill(0xff, 8), "WEIGHTS_MALFORMED", "UTF-8"],
  ["a header nested too deep", fileOfText(deep, 0), "WEIGHTS_MALFORMED", "two levels"],
  [
    "lists nested deeper than the stack",
    fileOfText(`{"a":${"[".repeat(1e5)}${"]".repeat(1e5)}}`, 0),
    "WEIGHTS_MALFORMED",
    "a: expected an object",
  ],
  [
    "shapes nested deeper than the stack",
    fileOfText(`{"a":{"dtype":"F32","data_offsets":[0,0],"shape":${"[".repeat(1e5)}${"]".repeat(1e5)}}}`, 0),
    "WEIGHTS_MALFORMED",
    "a.shape",
  ],
  [
    "a name twice",
    fileOfText(`{"a":${JSON.stringify(tensor)},"a":${JSON.stringify(tensor)}}`, 16),
    "WEIGHTS_MALFORMED",
    "every key once",
  ],
  [
    "a field twice",
    fileOfText('{"a":{"dtype":"F32","dtype":"F32","shape":[4],"data_offsets":[0,16]}}', 16),
    "WEIGHTS_MALFORMED",
    "every key once",
  ],
  ["a name of 513 characters", fileOf({ ["x".repeat(513)]: tensor }, 16), "WEIGHTS_MALFORMED", "at most 512"],
  ["metadata of numbers", fileOf({ __metadata__: { a: 1 }, a: tensor }, 16), "WEIGHTS_MALFORMED", "__metadata__"],
  ["a tensor that is null", fileOf({ a: null }, 0), "WEIGHTS_MALFORMED", "a: expected an object"],
  ["a field too many", fileOf({ a: { ...tensor, x: 1 } }, 16), "WEIGHTS_MALFORMED", '"x"'],
  ["an unknown type", fileOf({ a: { ...tensor, dtype: "F31" } }, 16), "WEIGHTS_DTYPE", "a.dtype"],
  ["a type of the prototype", fileOf({ a: { ...tensor, dtype: "toString" } }, 16), "WEIGHTS_DTYPE", "a.dtype"],
  ["no type", fileOf({ a: { shape: [4], data_offsets: [0, 16] } }, 16), "WEIGHTS_DTYPE", "got nothing"],
  ["a negative size", fileOf({ a: { ...tensor, shape: [-4] } }, 16), "WEIGHTS_MALFORMED", "a.shape"],
  ["two negative sizes", fileOf({ a: { ...tensor, shape: [-2, -2] } }, 16), "WEIGHTS_MALFORMED", "a.shape"],
  ["a fractional size", fileOf({ a: { ...tensor, shape: [8, 0.5] } }, 16), "WEIGHTS_MALFORMED", "a.shape"],
  ["a size past 2^53", fileOf({ a: { ...tensor, shape: [2 ** 53] } }, 16), "WEIGHTS_MALFORMED", "a.shape"],
  [
    "sizes whose product overflows",
    fileOf({ a: { ...tensor, shape: [2 ** 52, 2 ** 52] } }, 16),
    "WEIGHTS_MALFORMED",
    "bytes for F32",
  ],
  [
    "nine dimensions",
    fileOf({ a: { ...tensor, shape: [4, 1, 1, 1, 1, 1, 1, 1, 1] } }, 16),
    "WEIGHTS_MALFORMED",
    "a.shape",
  ],
  ["one offset", fileOf({ a: { ...tensor, data_offsets: [0] } }, 16), "WEIGHTS_MALFORMED", "a.data_offsets"],
  [
    "offsets of text",
    fileOf({ a: { ...tensor, data_offsets: ["0", "16"] } }, 16),
    "WEIGHTS_MALFORMED",
    "a.data_offsets",
  ],
  ["falling offsets", fileOf({ a: { ...tensor, data_offsets: [16, 0] } }, 16), "WEIGHTS_MALFORMED", "begin <= end"],
  [
    "offsets past the end",
    fileOf({ a: { ...tensor, shape: [5], data_offsets: [0, 20] } }, 16),
    "WEIGHTS_MALFORMED",
    "<= 16",
  ],
  [
    "fewer bytes than the shape has",
    fileOf({ a: { ...tensor, data_offsets: [0, 12] } }, 12),
    "WEIGHTS_MALFORMED",
    "expected 16 bytes",
  ],
  [
    "overlapping tensors",
    fileOf({ a: tensor, b: { ...tensor, data_offsets: [12, 28] } }, 28),
    "WEIGHTS_MALFORMED",
    "b.data_offsets",
  ],
  ["the same bytes twice", fileOf({ a: tensor, b: tensor }, 16), "WEIGHTS_MALFORMED", "data_offsets"],
  [
    "a hole between tensors",
    fileOf({ a: tensor, b: { ...tensor, data_offsets: [20, 36] } }, 36),
    "WEIGHTS_MALFORMED",
    "at 16, got 20",
  ],
  [
    "a hole before the first",
    fileOf({ a: { ...tensor, data_offsets: [4, 20] } }, 20),
    "WEIGHTS_MALFORMED",
    "at 0, got 4",
  ],
  ["bytes behind the last", fileOf({ a: tensor }, 17), "WEIGHTS_MALFORMED", "end of the file"],
]

test.each(REFUSED)("%s is refused", async (_, bytes, code, message) => {
  await writeFile(path, bytes)
  await expect(openSafetensors(path)).rejects.toMatchObject({
    name: "LaminaError",
    code,
    message: expect.stringContaining(message) as string,
  })
})

test("the unchanged sample of that table is a file", async () => {
  await writeFile(path, fileOf({ a: tensor }, 16))
  const store = await openSafetensors(path)
  expect([...store.tensors.keys()]).toEqual(["a"])
  await store.close()
})

test("a file that shrinks after it was opened is refused when read", async () => {
  await writeSafetensors(path, SAMPLE)
  const store = await openSafetensors(path)
  const bytes = await readFile(path)
  await writeFile(path, bytes.subarray(0, bytes.length - 4))
  await expect(store.read("b")).rejects.toMatchObject({ code: "WEIGHTS_MALFORMED" })
  await store.close()
})

test("2,000 damaged files are refused with our codes or read within their own size", async () => {
  await writeSafetensors(path, SAMPLE)
  const whole = await readFile(path)
  let refused = 0
  for (let seed = 0; seed < 2_000; seed++) {
    const bytes = Buffer.from(whole)
    const [changes, cut] = threefry([seed, 0], [0, 0])
    for (let i = 0; i <= changes % 4; i++) {
      const [at, value] = threefry([seed, 1], [i, 0])
      bytes[at % bytes.length] = value & 255
    }
    await writeFile(path, cut % 5 === 0 ? bytes.subarray(0, cut % bytes.length) : bytes)
    try {
      const store = await openSafetensors(path)
      try {
        let total = 0
        for (const name of store.tensors.keys()) total += (await store.read(name)).length
        expect(total).toBeLessThan(whole.length)
      } finally {
        await store.close()
      }
    } catch (error) {
      if (!(error instanceof LaminaError)) throw error
      expect(["WEIGHTS_MALFORMED", "WEIGHTS_DTYPE"]).toContain(error.code)
      refused++
    }
  }
  // 24 of about 190 bytes are data, where any change is legal: most mutants, not all, must be refused
  expect(refused).toBeGreaterThan(1_200)
  expect(refused).toBeLessThan(2_000)
})

describe("shards", () => {
  const index = (map: unknown): Promise<void> =>
    writeFile(join(folder, "model.safetensors.index.json"), JSON.stringify({ metadata: {}, weight_map: map }))
  const shard = (file: string, ...names: string[]): Promise<void> =>
    writeSafetensors(join(folder, file), new Map([...SAMPLE].filter(([name]) => names.includes(name))))

  test("are one store", async () => {
    await shard("s-1.safetensors", "a")
    await shard("s-2.safetensors", "b")
    await index({ b: "s-2.safetensors", a: "s-1.safetensors" })
    const store = await openCheckpoint(folder)
    expect([...new Float32Array((await store.read("b")).buffer)]).toEqual([1, -2, 0.5, 3])
    expect([...store.tensors.keys()].sort()).toEqual(["a", "b"])
    await store.close()
  })

  const bad: [string, unknown, string][] = [
    ["a tensor the named file does not hold", { a: "s-1.safetensors", b: "s-1.safetensors" }, "WEIGHTS_MISSING"],
    ["a file that is not there", { a: "s-1.safetensors", b: "s-3.safetensors" }, "WEIGHTS_MISSING"],
    ["fewer tensors than the files hold", { a: "s-1.safetensors", b: "s-2.safetensors" }, "WEIGHTS_MALFORMED"],
    ["a path out of the folder", { a: "../s-1.safetensors" }, "WEIGHTS_MALFORMED"],
    ["an absolute path", { a: "/etc/passwd" }, "WEIGHTS_MALFORMED"],
    ["a hidden file", { a: ".s" }, "WEIGHTS_MALFORMED"],
    ["a file name that is a number", { a: 7 }, "WEIGHTS_MALFORMED"],
    ["no file at all", {}, "WEIGHTS_MALFORMED"],
    ["a map that is a list", ["s-1.safetensors"], "WEIGHTS_MALFORMED"],
  ]
  test.each(bad)("whose index names %s are refused", async (_, map, code) => {
    await shard("s-1.safetensors", "a")
    await shard("s-2.safetensors", "a", "b")
    await index(map)
    await expect(openCheckpoint(folder)).rejects.toMatchObject({ name: "LaminaError", code })
  })

  test("without an index are missing, and the error says what was looked for", async () => {
    await expect(openCheckpoint(folder)).rejects.toMatchObject({
      code: "WEIGHTS_MISSING",
      message: expect.stringMatching(/config\.json with model\.safetensors .*\.gguf/),
      hint: expect.stringContaining("lamina model pull"),
    })
  })

  test("2,001 of them are refused before any is opened", async () => {
    await index(Object.fromEntries(Array.from({ length: 2_001 }, (_, i) => [`t${i}`, `s-${i}`])))
    await expect(openCheckpoint(folder)).rejects.toMatchObject({ code: "WEIGHTS_MALFORMED" })
  })
})
