import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { concat, equalBytes, fromHex, hash, hashFile, kdf, newHasher, toHex, utf8 } from "./hash.js"

test("BLAKE2b-256 gives the values others publish", () => {
  // "" and "abc" with 32 bytes of output, as `b2sum -l 256` prints them
  expect(toHex(hash())).toBe("0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8")
  expect(toHex(hash(utf8("abc")))).toBe("bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319")
})

test("parts, pieces and a file of the same bytes have one hash", async () => {
  const bytes = Uint8Array.from({ length: 2 * 1024 * 1024 + 5 }, (_, i) => (i * 7) & 0xff)
  const path = join(mkdtempSync(join(tmpdir(), "lamina-hash-")), "file")
  writeFileSync(path, bytes)
  const whole = toHex(hash(bytes))
  expect(toHex(hash(bytes.subarray(0, 3), bytes.subarray(3)))).toBe(whole)
  const hasher = newHasher()
  for (const [from, to] of [
    [0, 200],
    [200, 256],
    [256, bytes.length],
  ])
    hasher.update(bytes.subarray(from, to))
  expect(toHex(hasher.digest())).toBe(whole)
  expect(toHex(await hashFile(path))).toBe(whole)
  writeFileSync(path, "")
  expect(await hashFile(path)).toEqual(hash())
})

test("hashing a file stops when it is told to, and says why a file cannot be read", async () => {
  const path = join(mkdtempSync(join(tmpdir(), "lamina-hash-")), "file")
  await expect(hashFile(path)).rejects.toMatchObject({ code: "ENOENT" })
  writeFileSync(path, new Uint8Array(10))
  await expect(hashFile(path, { signal: AbortSignal.abort() })).rejects.toMatchObject({ name: "AbortError" })
})

test("a label, a context and their border all matter to a derived key", () => {
  const key = new Uint8Array(32).fill(1)
  const derived = [
    kdf(key, "a", utf8("bc")),
    kdf(key, "ab", utf8("c")),
    kdf(key, "a", utf8("b")),
    kdf(new Uint8Array(32), "a", utf8("bc")),
    hash(concat(key, utf8("a"), utf8("bc"))),
  ].map(toHex)
  expect(new Set(derived).size).toBe(derived.length)
})

test("hex goes both ways; what is no hex is undefined", () => {
  expect(toHex(Uint8Array.of(0, 15, 255))).toBe("000fff")
  expect(fromHex("000FfF")).toEqual(Uint8Array.of(0, 15, 255))
  for (const wrong of ["0", "0g", " 00", "00\n"]) expect([wrong, fromHex(wrong)]).toEqual([wrong, undefined])
})

test("bytes are equal when length and content are", () => {
  expect(equalBytes(Uint8Array.of(1, 2), Buffer.of(0, 1, 2).subarray(1))).toBe(true)
  expect(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).toBe(false)
  expect(equalBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2, 0))).toBe(false)
})
