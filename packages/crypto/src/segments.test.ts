import { sealsNatively } from "@lamina/kernels/bytes"

import { leafHash, leavesLater, leavesOf } from "./merkle.js"
import { concat, hash } from "./hash.js"
import {
  openBySegment,
  openSegments,
  openSegmentsLater,
  sealBySegment,
  sealSegments,
  sealSegmentsLater,
} from "./segments.js"
import { sodium } from "./sodium.js"

const text = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 9)) & 0xff)
const sealing = { key: text(32), aad: text(20) }

/** The largest magnitude of every segment's whole words; Math.max of NaN is NaN. */
function peaksOf(bytes: Uint8Array): Float32Array {
  const segments = Math.max(1, Math.ceil(bytes.byteLength / 65_536))
  return Float32Array.from({ length: segments }, (_, i) => {
    const segment = bytes.slice(i * 65_536, (i + 1) * 65_536)
    const words = new Float32Array(segment.buffer, 0, segment.byteLength >> 2)
    return words.reduce((peak, word) => Math.max(peak, Math.abs(word)), 0)
  })
}

/** Around a segment of 64 KiB, around the 8 of a task, and several tasks. */
test.each([0, 1, 65_535, 65_536, 65_537, 8 * 65_536, 8 * 65_536 + 1, 700_001, 16 * 65_536, 2_000_003])(
  "with and without the addon the same %i bytes are sealed",
  async (length) => {
    expect(sealsNatively()).toBe(true)
    const sealedBytes = length + 16 * Math.max(1, Math.ceil(length / 65_536))
    const [natively, without] = [new Uint8Array(sealedBytes), new Uint8Array(sealedBytes)]
    sealSegments(sealing, text(length), natively)
    sealBySegment(sealing, text(length), without)
    expect(Buffer.compare(natively, without)).toBe(0)
    const envelope = new Uint8Array(100 + sealedBytes)
    const parts = [text(length).subarray(0, 65_500), text(length).subarray(65_500)]
    const leaves = await sealSegmentsLater(sealing, parts, { envelope, at: 100 })
    expect(Buffer.compare(envelope.subarray(100), without)).toBe(0)
    expect(leaves).toEqual(leavesOf(envelope))
    const opened = new Uint8Array(length)
    expect(openBySegment(sealing, natively, opened)).toBe(true)
    expect(Buffer.compare(opened, text(length))).toBe(0)
    expect(openSegments(sealing, without, opened.fill(7))).toBe(true)
    expect(Buffer.compare(opened, text(length))).toBe(0)
    const { authentic, peaks } = await openSegmentsLater(sealing, without, opened.fill(7))
    expect(authentic).toBe(true)
    expect(Buffer.compare(opened, text(length))).toBe(0)
    expect(peaks).toEqual(peaksOf(opened))
    without[length] = (without[length] ?? 0) ^ 1
    expect([openSegments(sealing, without, opened), openBySegment(sealing, without, opened)]).toEqual([false, false])
    expect((await openSegmentsLater(sealing, without, opened)).authentic).toBe(false)
    expect(opened.every((byte) => byte === 0)).toBe(true)
    expect((await openSegmentsLater(sealing, natively.subarray(1), opened)).authentic).toBe(false)
  },
)

/** Fewer and more than the lanes of a vector, with few and with many left over. */
test.each([1, 5, 8, 9, 16, 27])("%i leaves and a short one are libsodium's", async (whole) => {
  const bytes = text(whole * 262_144 + 77)
  const leaves = leavesOf(bytes)
  expect(leaves).toHaveLength(whole + 1)
  expect(await leavesLater(bytes)).toEqual(leaves)
  for (const [i, leaf] of leaves.entries()) {
    const chunk = bytes.subarray(i * 262_144, (i + 1) * 262_144)
    expect(leaf).toEqual(sodium.crypto_generichash(32, concat(Uint8Array.of(0), chunk), null))
    expect(leafHash(chunk)).toEqual(leaf)
  }
})

test("hashes are libsodium's", () => {
  for (const length of [0, 3, 1_023, 1_024, 5_000])
    expect(hash(text(length))).toEqual(sodium.crypto_generichash(32, text(length), null))
})
