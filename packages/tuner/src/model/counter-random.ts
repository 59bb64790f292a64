/**
 * Threefry-2x32 with 20 rounds (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): a random function
 * of (key, counter), no state. Value i of a module does not depend on which other modules are trained, nor on the
 * order they are drawn in.
 */
const PARITY = 0x1bd11bda
const ROTATIONS = [13, 15, 26, 6, 17, 29, 16, 24] as const

/** Two words of 32 bits, as unsigned integers. */
type Words = readonly [number, number]

/** The two words of `counter` under `key`. */
export function threefry(key: Words, counter: Words): Words {
  const schedule = [key[0], key[1], key[0] ^ key[1] ^ PARITY]
  let x = (counter[0] + key[0]) | 0
  let y = (counter[1] + key[1]) | 0
  for (let round = 0; round < 20; round++) {
    const by = ROTATIONS[round % 8] as number
    x = (x + y) | 0
    y = ((y << by) | (y >>> (32 - by))) ^ x
    if (round % 4 === 3) {
      const injection = (round + 1) / 4
      x = (x + (schedule[injection % 3] as number)) | 0
      y = (y + (schedule[(injection + 1) % 3] as number) + injection) | 0
    }
  }
  return [x >>> 0, y >>> 0]
}

/**
 * `length` values, uniform in [-bound, bound), 24 random bits each. Values 2i and 2i + 1 are the words of counter (i,
 * stream).
 */
export function uniformArray(key: Words, draw: { stream: number; length: number; bound: number }): Float32Array {
  const values = new Float32Array(draw.length)
  for (let i = 0; i < draw.length; i += 2) {
    const [first, second] = threefry(key, [i >>> 1, draw.stream])
    values[i] = ((first >>> 8) * 2 ** -23 - 1) * draw.bound
    if (i + 1 < draw.length) values[i + 1] = ((second >>> 8) * 2 ** -23 - 1) * draw.bound
  }
  return values
}

/** 32-bit FNV-1a of a name's UTF-8 bytes (Fowler, Noll, Vo): the second key word of a module. */
export function nameHash(name: string): number {
  let hash = 0x811c9dc5
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193)
  return hash >>> 0
}
