import { parseGgufHeader } from "./gguf-header.js"

/** A number of so many bytes, or text with its length before it (which then is the field `name.length`). */
type Part = readonly [name: string, bytes: 4 | 8, value: number | bigint] | readonly [name: string, text: string]

/** One metadata entry of each shape and two tensors, every field by name. */
const PARTS: readonly Part[] = [
  ["magic", 4, 0x46554747],
  ["version", 4, 3],
  ["tensors", 8, 2],
  ["entries", 8, 2],
  ["key", "general.alignment"],
  ["value type", 4, 4],
  ["alignment", 4, 32],
  ["list key", "some.list"],
  ["list type", 4, 9],
  ["element type", 4, 8],
  ["list length", 8, 1],
  ["element", "word"],
  ["name", "first"],
  ["dimensions", 4, 2],
  ["size 0", 8, 32],
  ["size 1", 8, 2],
  ["type", 4, 8],
  ["offset", 8, 0],
  ["second name", "second"],
  ["second dimensions", 4, 1],
  ["second size", 8, 8],
  ["second type", 4, 0],
  ["second offset", 8, 96],
]
const DATA_BYTES = 96 + 32

function encode(change: Readonly<Record<string, number | bigint | string>> = {}): Buffer {
  const number = (bytes: 4 | 8, value: number | bigint): Buffer => {
    const buffer = Buffer.alloc(bytes)
    if (bytes === 4) buffer.writeUInt32LE(Number(value))
    else buffer.writeBigUInt64LE(BigInt(value))
    return buffer
  }
  const head = PARTS.flatMap((part) => {
    if (part.length === 3) return [number(part[1], (change[part[0]] as number | undefined) ?? part[2])]
    const text = Buffer.from((change[part[0]] as string | undefined) ?? part[1], "latin1")
    return [number(8, (change[`${part[0]}.length`] as number | undefined) ?? text.length), text]
  })
  const header = Buffer.concat(head)
  return Buffer.concat([header, Buffer.alloc((32 - (header.length % 32)) % 32), Buffer.alloc(DATA_BYTES)])
}

const parse = (bytes: Buffer): ReturnType<typeof parseGgufHeader> =>
  parseGgufHeader({ bytes, path: "m.gguf", size: bytes.length })

test("the unchanged sample is a header", () => {
  const { tensors, metadata } = parse(encode())
  expect([...tensors].map(([name, { shape, bytes }]) => [name, shape, bytes])).toEqual([
    ["first", [2, 32], 68],
    ["second", [8], 32],
  ])
  expect(metadata.get("some.list")).toEqual(["word"])
})

function refusal(bytes: Buffer): Error {
  try {
    parse(bytes)
  } catch (error) {
    return error as Error
  }
  throw new Error("the header was taken")
}

const MOST = 2n ** 64n - 1n
test.each<[field: string, value: number | bigint | string, message: string]>([
  ["magic", 0x46554748, 'magic: expected "GGUF"'],
  ["version", 9, "version: expected 2 or 3"],
  ["version", 0x03000000, "a big-endian file"],
  ["tensors", MOST, "tensor count: tensors: expected at most"],
  ["tensors", 3, "tensor : name: expected text, got none"],
  ["entries", 2n ** 40n, "metadata count: entries: expected at most"],
  ["entries", 3, "tensor 0: length of a string: expected at most 255"],
  ["key.length", MOST, "metadata 0: length of a string: expected at most"],
  ["key.length", 60_000, "metadata 0: expected 60000 bytes"],
  ["key", "\xff\xfe", "metadata 0: expected UTF-8 text"],
  ["key", "", "metadata : expected a key, got empty text"],
  ["value type", 77, "metadata general.alignment: type: expected"],
  ["alignment", 24, "metadata general.alignment: expected a power of two"],
  ["alignment", 0, "metadata general.alignment: expected a power of two"],
  ["list key", "general.alignment", "metadata general.alignment: expected every key once"],
  ["list type", 99, "metadata some.list: type: expected"],
  ["element type", 42, "metadata some.list: "],
  ["list length", MOST, "metadata some.list: "],
  ["element.length", 2n ** 31n, "metadata some.list"],
  ["element", "\xc3(", "metadata some.list"],
  ["name.length", 256, "tensor 0: length of a string: expected at most 255, got 256"],
  ["name", "", "tensor : name: expected text, got none"],
  ["dimensions", 0, "tensor first: dimensions: expected 1 to 4, got 0"],
  ["dimensions", 5, "tensor first: dimensions: expected 1 to 4, got 5"],
  ["size 0", 0, "tensor first: size 0: expected at least 1, got 0"],
  ["size 0", MOST, "tensor first: size 0: expected at most 2147483647"],
  ["size 0", 33, "first: row: expected a multiple of 32 columns for Q8_0, got 33"],
  ["size 1", 2n ** 31n - 1n, "first: data: expected"],
  ["type", 250, "tensor first: type: expected one of ggml's, got 250"],
  ["offset", 7, "first: offset: expected a multiple of general.alignment 32, got 7"],
  ["offset", MOST, "tensor first: offset: expected at most"],
  ["second name", "first", "tensor first: name: expected every name once"],
  ["second offset", 64, "tensor second: offset: expected data behind that of first"],
  ["second offset", 128, "second: data: expected 32 bytes from byte"],
])("%s changed to %s is refused by its field", (field, value, message) => {
  const error = refusal(encode({ [field]: value }))
  expect(["WEIGHTS_MALFORMED", "WEIGHTS_DTYPE", "MODEL_UNSUPPORTED"]).toContain((error as { code?: string }).code)
  expect(error.message).toContain("m.gguf: ")
  expect(error.message).toContain(message)
})

test("a file that ends anywhere in its header is refused by the field it ends in", () => {
  const bytes = encode()
  const end = bytes.length - DATA_BYTES - 31 // the header ends here at the earliest
  for (let length = 0; length < end; length++) {
    const error = refusal(bytes.subarray(0, length))
    expect(error.message).toMatch(/^m\.gguf: (magic|version|tensor|metadata|first|second)[^:]*: /)
  }
})
