import { createCipheriv } from "node:crypto"
import { readdirSync, readFileSync } from "node:fs"

import { addon } from "../native/addon.js"
import {
  Blake2b,
  blake2b,
  blake2bLeaves,
  blake2bLeavesLater,
  letPoolGiveWay,
  openSegments,
  sealSegments,
  sealSegmentsLater,
  sealsNatively,
} from "./index.js"

const text = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 37 + (i >> 8)) & 0xff)
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

/** BLAKE2b by OpenSSL has another length of output: the reference here is the sum of RFC 7693, in BigInt. */
const START = [
  0x6a09e667f3bcc908n,
  0xbb67ae8584caa73bn,
  0x3c6ef372fe94f82bn,
  0xa54ff53a5f1d36f1n,
  0x510e527fade682d1n,
  0x9b05688c2b3e6c1fn,
  0x1f83d9abfb41bd6bn,
  0x5be0cd19137e2179n,
]
const ORDER = [
  "0123456789abcdef",
  "ea489fd61c02b753",
  "b8c052fdae367194",
  "7931dcbe265a40f8",
  "905724afe1bc683d",
  "2c6a0b834d75fe19",
  "c51fed4a0763928b",
  "db7ec13950f4862a",
  "6fe9b308c2d714a5",
  "a2847615fb9e3cd0",
].map((row) => [...row].map((digit) => parseInt(digit, 16)))
const LANES = [
  [0, 4, 8, 12],
  [1, 5, 9, 13],
  [2, 6, 10, 14],
  [3, 7, 11, 15],
  [0, 5, 10, 15],
  [1, 6, 11, 12],
  [2, 7, 8, 13],
  [3, 4, 9, 14],
] as const

function reference(message: Uint8Array): Uint8Array {
  const mask = 2n ** 64n - 1n
  const rotate = (x: bigint, n: bigint) => ((x >> n) | (x << (64n - n))) & mask
  const h = [...START]
  h[0]! ^= 0x01010020n
  const blocks = Math.max(1, Math.ceil(message.length / 128))
  for (let block = 0; block < blocks; block++) {
    const padded = Buffer.alloc(128)
    padded.set(message.subarray(128 * block, 128 * block + 128))
    const m = Array.from({ length: 16 }, (_, i) => padded.readBigUInt64LE(8 * i))
    const v = [...h, ...START]
    v[12]! ^= BigInt(Math.min(message.length, 128 * (block + 1)))
    if (block === blocks - 1) v[14]! ^= mask
    for (let round = 0; round < 12; round++)
      for (const [i, [a, b, c, d]] of LANES.entries()) {
        const order = ORDER[round % 10]!
        for (const [half, [first, second]] of [
          [32n, 24n],
          [16n, 63n],
        ].entries()) {
          v[a] = (v[a]! + v[b]! + m[order[2 * i + half]!]!) & mask
          v[d] = rotate(v[d]! ^ v[a], first!)
          v[c] = (v[c]! + v[d]) & mask
          v[b] = rotate(v[b]! ^ v[c], second!)
        }
      }
    for (let i = 0; i < 8; i++) h[i]! ^= v[i]! ^ v[i + 8]!
  }
  const out = Buffer.alloc(64)
  for (const [i, word] of h.entries()) out.writeBigUInt64LE(word, 8 * i)
  return new Uint8Array(out.subarray(0, 32))
}

/** Around a block (128), with the byte in front of a leaf. */
const LENGTHS = [0, 1, 126, 127, 128, 129, 255, 256, 257, 1_000]

function eachIsa(body: () => void): void {
  const before = addon().isa()
  for (const isa of addon().isas()) {
    addon().setIsa(isa)
    body()
  }
  addon().setIsa(before)
}

test("BLAKE2b-256 of whole messages, parts and pieces is RFC 7693's", () => {
  // as `b2sum -l 256` prints them
  expect(hex(blake2b([]))).toBe("0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8")
  expect(hex(reference(Buffer.from("abc")))).toBe("bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319")
  for (const length of LENGTHS) {
    const expected = hex(reference(text(length)))
    for (const cut of [0, 1, 127, 128, 129, length].filter((at) => at <= length)) {
      const parts = [text(length).subarray(0, cut), text(length).subarray(cut)]
      expect(hex(blake2b(parts))).toBe(expected)
      const inPieces = new Blake2b()
      for (const part of parts) inPieces.update(part)
      expect(hex(inPieces.digest())).toBe(expected)
    }
  }
})

test("leaves side by side are those one after another, on every instruction set", () => {
  eachIsa(() => {
    for (const piece of [...LENGTHS.slice(1), 65_536])
      for (const pieces of [1, 3.5, 8, 9.01, 17]) {
        const bytes = text(Math.round(piece * pieces)).subarray(piece > 1 ? 1 : 0) // at an odd address
        const got = blake2bLeaves(bytes, piece)
        for (let i = 0; i * piece < bytes.length; i++) {
          const leaf = [Uint8Array.of(0), bytes.subarray(i * piece, (i + 1) * piece)]
          expect(hex(got.subarray(32 * i, 32 * i + 32))).toBe(hex(blake2b(leaf)))
        }
      }
    expect(hex(blake2bLeaves(new Uint8Array(0), 100))).toBe(hex(blake2b([Uint8Array.of(0)])))
  })
})

const key = { key: text(32), aad: text(40), segmentBytes: 1_000 }

test("segments are ChaCha20-Poly1305 with STREAM's nonces", () => {
  expect(sealsNatively()).toBe(true)
  for (const length of [0, 1, 999, 1_000, 1_001, 3_500]) {
    const segments = Math.max(1, Math.ceil(length / 1_000))
    const sealed = new Uint8Array(length + 16 * segments)
    sealSegments(key, text(length), sealed)
    const expected = Array.from({ length: segments }, (_, i) => {
      const nonce = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, i, i === segments - 1 ? 1 : 0)
      const cipher = createCipheriv("chacha20-poly1305", key.key, nonce, { authTagLength: 16 })
      cipher.setAAD(key.aad, { plaintextLength: 0 })
      const body = cipher.update(text(length).subarray(1_000 * i, 1_000 * (i + 1)))
      cipher.final()
      return Buffer.concat([body, cipher.getAuthTag()])
    })
    expect(hex(sealed)).toBe(Buffer.concat(expected).toString("hex"))
    const opened = new Uint8Array(length)
    expect(openSegments(key, sealed, opened)).toBe(true)
    expect(hex(opened)).toBe(hex(text(length)))
  }
})

/** Bytes cut where 1, 2, 3, ... times 97 come, with empty parts among them, each at an address of its own. */
function inParts(bytes: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [new Uint8Array(0)]
  for (let at = 0, size = 97; at < bytes.byteLength; at += size, size += 97)
    parts.push(bytes.slice(at, at + size), new Uint8Array(0))
  return parts
}

test("what is done later is what is done at once, however much is asked together", async () => {
  const lengths = Array.from({ length: 40 }, (_, i) => 1 + 1_733 * i)
  const asked = lengths.map(async (length) => {
    const whole = new Uint8Array(7 + length + 16 * Math.ceil(length / 1_000)).fill(9)
    const hashes = sealSegmentsLater(key, inParts(text(length)), { whole, at: 7, pieceBytes: 4_096 })
    return { whole, hashes: await hashes, leaves: await blake2bLeavesLater(text(length), 300) }
  })
  for (const [i, { whole, hashes, leaves }] of (await Promise.all(asked)).entries()) {
    const length = lengths[i]!
    const sealed = new Uint8Array(whole.byteLength - 7)
    sealSegments(key, text(length), sealed)
    expect(hex(whole)).toBe("09".repeat(7) + hex(sealed))
    expect(hex(hashes)).toBe(hex(blake2bLeaves(whole, 4_096)))
    expect(hex(leaves)).toBe(hex(blake2bLeaves(text(length), 300)))
  }
})

test("what was changed, cut or sealed otherwise does not open, and leaves no plaintext", () => {
  const sealed = new Uint8Array(2_500 + 48)
  sealSegments(key, text(2_500), sealed)
  const out = new Uint8Array(2_500).fill(1)
  for (const at of [0, 999, 1_005, 1_016, 2_547]) {
    const changed = Uint8Array.from(sealed, (byte, i) => (i === at ? byte ^ 4 : byte))
    expect([openSegments(key, changed, out.fill(1)), out.every((byte) => byte === 0)]).toEqual([false, true])
  }
  expect(openSegments(key, sealed.subarray(0, 2_032), new Uint8Array(2_000))).toBe(false) // whole segments, none last
  expect(openSegments({ ...key, aad: text(41) }, sealed, out)).toBe(false)
  expect(openSegments({ ...key, key: text(33).subarray(1) }, sealed, out)).toBe(false)
  expect(openSegments(key, sealed.subarray(1), out)).toBe(false)
  expect(openSegments(key, sealed, out)).toBe(true)
})

test("arguments of the wrong kind or length are refused", async () => {
  const refused = expect.objectContaining({ code: "KERNEL_SHAPE" })
  expect(() => sealSegments(key, text(100), new Uint8Array(115))).toThrow(refused)
  expect(() => sealSegments({ ...key, key: text(31) }, text(100), new Uint8Array(116))).toThrow(refused)
  expect(() => sealSegments({ ...key, segmentBytes: 0 }, text(100), new Uint8Array(116))).toThrow(refused)
  expect(() => blake2bLeaves(text(10), 0.5)).toThrow(refused)
  await expect(blake2bLeavesLater(text(10), 0.5)).rejects.toEqual(refused)
  const whole = new Uint8Array(116)
  await expect(sealSegmentsLater(key, [text(100)], { whole, at: 1, pieceBytes: 64 })).rejects.toEqual(refused)
  await expect(sealSegmentsLater(key, [text(99)], { whole, at: 0, pieceBytes: 64 })).rejects.toEqual(refused)
  const wrong = [text(60), new Float32Array(10)] as unknown as Uint8Array[]
  await expect(sealSegmentsLater(key, wrong, { whole, at: 0, pieceBytes: 64 })).rejects.toEqual(refused)
  await expect(sealSegmentsLater(key, [text(100)], { whole, at: 0, pieceBytes: 0.5 })).rejects.toEqual(refused)
  expect(() => blake2b(Array.from({ length: 33 }, () => text(1)))).toThrow(refused)
  const [state, hash] = [new Uint8Array(208).fill(255), new Uint8Array(32)] // a state nobody made
  expect(addon().blake2bFinish(state, hash)).not.toBe(0)
  expect(addon().blake2bUpdate(state.subarray(1), hash)).not.toBe(0)
})

/** Scheduling policy of a thread of this process (proc(5)): 0 as each begins, 3 for SCHED_BATCH. */
function policyOf(thread: string | number): string | undefined {
  return readFileSync(`/proc/self/task/${thread}/stat`, "utf8").split(") ").at(-1)?.split(" ")[38]
}

const onLinux = process.platform === "linux" ? test : test.skip
onLinux("threads of the pool give way once they are told to, and the event loop does not", async () => {
  expect(letPoolGiveWay()).toBe(true)
  await Promise.all(Array.from({ length: 200 }, () => blake2bLeavesLater(text(100_000), 1_000)))
  expect(readdirSync("/proc/self/task").filter((thread) => policyOf(thread) === "3").length).toBeGreaterThan(0)
  expect(policyOf(process.pid)).toBe("0")
})
