/** Seeded values for tests: mulberry32, uniform in -1..1. */
export interface Random {
  (): number
  floats(length: number): Float32Array
  integers(length: number, below: number): Int32Array
}

export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1
  }
  return Object.assign(next, {
    floats: (length: number) => Float32Array.from({ length }, next),
    integers: (length: number, below: number) =>
      Int32Array.from({ length }, () => Math.floor(((next() + 1) / 2) * below)),
  })
}
