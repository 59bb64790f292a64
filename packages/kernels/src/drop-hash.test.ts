import { dropHash, dropMask } from "./drop-hash.js"

/** The definition in BigInt, written from the comment. */
function exact(seed: bigint, index: bigint): number {
  const wrap = (x: bigint): bigint => x & 0xffff_ffffn
  const mix = (start: bigint): bigint => {
    let x = wrap(start)
    x = wrap((x ^ (x >> 16n)) * 0x7feb352dn)
    x = wrap((x ^ (x >> 15n)) * 0x846ca68bn)
    return x ^ (x >> 16n)
  }
  return Number(mix(mix(index + 0x9e3779b9n) ^ mix(seed ^ 0x85ebca6bn)))
}

test("dropHash follows its definition to the bit, and the vectors of its comment hold", () => {
  expect([dropHash(0, 0), dropHash(1, 0), dropHash(0, 1), dropHash(0xffff_ffff, 123456789)]).toEqual([
    2771556020, 2589050443, 4088560018, 3735242305,
  ])
  for (let i = 0; i < 500; i++) {
    const seed = (i * 2654435761) % 2 ** 32
    const index = (i * i * 40503) % 2 ** 32
    expect(dropHash(seed, index)).toBe(exact(BigInt(seed), BigInt(index)))
  }
})

test("dropMask drops the stated share and scales the rest by 1 / (1 - p)", () => {
  const mask = dropMask(7, 0.25, 100_000)
  const dropped = mask.filter((factor) => factor === 0).length
  // binomial deviation sqrt(100000 · 0.25 · 0.75) = 137; five of them fail once in two million for a random hash, and
  // this seed is fixed
  expect(Math.abs(dropped - 25_000)).toBeLessThan(5 * 137)
  expect(new Set(mask)).toEqual(new Set([0, Math.fround(1 / 0.75)]))
})
