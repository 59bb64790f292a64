import { LIMITS } from "./limits.js"
import { messages } from "./messages.js"
import type { ManifestModule } from "./messages.js"
import { decodeUpdate } from "./update.js"

/**
 * Containers whose manifest and tensors are put together by hand, each breaking one rule of docs/protocol.md, "The
 * update container".
 */
const module = (name: string, at: number): ManifestModule => ({
  ...{ name, outFeatures: 4, inFeatures: 8, rank: 2, alpha: 4, scaling: "lora" },
  a: { dtype: "f32", offset: at, bytes: 64 }, // (2, 8) f32
  b: { dtype: "f32", offset: at + 64, bytes: 32 }, // (4, 2) f32
})
/** Tensors of `module("m", 0)` and `module("n", 128)`: 64 + 32, zeros to 128, 64 + 32. */
const BODY_BYTES = 128 + 96

function container(
  modules: readonly ManifestModule[],
  {
    bodyBytes = BODY_BYTES,
    body = {},
    padding = 0,
    length,
  }: { bodyBytes?: number; body?: Record<number, number>; padding?: number; length?: number } = {},
): Uint8Array {
  const manifest = messages.UpdateManifest.encode({ weight: 1, modules, metrics: [], scores: [] })
  const start = Math.ceil((4 + manifest.length) / 64) * 64
  const bytes = new Uint8Array(start + bodyBytes)
  new DataView(bytes.buffer).setUint32(0, length ?? manifest.length, true)
  bytes.set(manifest, 4)
  if (padding !== 0) bytes[start - 1] = padding
  for (const [at, value] of Object.entries(body)) bytes[start + Number(at)] = value
  return bytes
}
const [m, n] = [module("m", 0), module("n", 128)]

test("the container these are made from is right", () => {
  const { adapter, weight } = decodeUpdate(container([m, n], { body: { 2: 0x80, 3: 0x3f } }))
  expect(weight).toBe(1)
  expect(adapter.modules.map(({ name }) => name)).toEqual(["m", "n"])
  expect(adapter.modules[0]?.a[0]).toBe(1) // 0x3f800000
  expect([adapter.modules[1]?.a.length, adapter.modules[1]?.b.length]).toEqual([16, 8])
})

test.each<[string, string, Uint8Array]>([
  ["UPDATE_MALFORMED", "no bytes at all", new Uint8Array(0)],
  ["UPDATE_MALFORMED", "three bytes", new Uint8Array(3)],
  ["UPDATE_MALFORMED", "a manifest longer than the whole", container([m, n], { length: 5_000 })],
  ["UPDATE_MALFORMED", "a manifest of 4 GiB", container([m, n], { length: 0xffff_ffff })],
  ["UPDATE_MALFORMED", "an empty manifest", new Uint8Array(64)],
  ["UPDATE_MALFORMED", "something between manifest and tensors", container([m, n], { padding: 1 })],
  ["UPDATE_MALFORMED", "something between two tensors", container([m, n], { body: { 100: 1 } })],
  ["UPDATE_MALFORMED", "one byte after the last tensor", container([m, n], { bodyBytes: BODY_BYTES + 1 })],
  ["UPDATE_MALFORMED", "the last byte missing", container([m, n], { bodyBytes: BODY_BYTES - 1 })],
  ["UPDATE_MALFORMED", "no tensors", container([m, n], { bodyBytes: 0 })],
  ["UPDATE_MALFORMED", "an offset that is not aligned", container([m, { ...n, b: { ...n.b, offset: 193 } }])],
  ["UPDATE_MALFORMED", "a tensor over another", container([m, { ...n, a: { ...n.a, offset: 64 } }])],
  ["UPDATE_MALFORMED", "b before a", container([{ ...m, a: { ...m.a, offset: 64 }, b: { ...m.b, offset: 0 } }])],
  ["UPDATE_MALFORMED", "a gap of one more line", container([m, module("n", 192)], { bodyBytes: BODY_BYTES + 64 })],
  ["UPDATE_MALFORMED", "an offset of 2^53 - 1", container([m, { ...n, a: { ...n.a, offset: 2 ** 53 - 1 } }])],
  ["UPDATE_MODULE", "a module twice", container([m, module("m", 128)])],
  ["UPDATE_MODULE", "modules out of order", container([module("n", 0), module("m", 128)])],
  ["UPDATE_SHAPE", "four bytes fewer than the shape", container([m, { ...n, b: { ...n.b, bytes: 28 } }])],
  ["UPDATE_SHAPE", "a size of 2^53 - 1", container([{ ...m, a: { ...m.a, bytes: 2 ** 53 - 1 } }])],
  // (2^20, 1024) f32 is 4 GiB: lengths are compared before anything is allocated
  [
    "UPDATE_MALFORMED",
    "a tensor of 4 GiB in 200 bytes",
    container([{ ...m, inFeatures: 2 ** 20, rank: 1_024, a: { dtype: "f32", offset: 0, bytes: 2 ** 32 } }]),
  ],
  ["UPDATE_RANK", "a rank over both sides and the limit", container([{ ...m, rank: LIMITS.rankMax + 1 }])],
])("%s for %s", (code, _, bytes) => {
  const before = process.memoryUsage()
  expect(() => decodeUpdate(bytes)).toThrow(expect.objectContaining({ code }))
  const after = process.memoryUsage()
  expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(16 * 1024 * 1024)
})

test("a manifest at its limit is looked at, one byte over is refused by its length", () => {
  const of = (length: number): Uint8Array => {
    const bytes = new Uint8Array(length + 64)
    new DataView(bytes.buffer).setUint32(0, length, true)
    return bytes
  }
  const over = LIMITS.manifestBytesMax + 1
  expect(() => decodeUpdate(of(LIMITS.manifestBytesMax))).toThrow(/field number 0/)
  expect(() => decodeUpdate(of(over))).toThrow(new RegExp(`manifest of ${over} bytes`))
})
