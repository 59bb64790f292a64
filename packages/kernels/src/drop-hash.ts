/**
 * dropHash(seed, index): the counter-based hash behind LoRA dropout, the same on every backend (reference, C++, WGSL).
 * Exactly, in uint32 arithmetic that wraps, `>>` being the unsigned shift ("lowbias32" is the mixer):
 *
 *   mix(x):  x ^= x >> 16;  x *= 0x7feb352d;  x ^= x >> 15;  x *= 0x846ca68b;  x ^= x >> 16;  return x
 *   dropHash(seed, index) = mix(mix(index + 0x9e3779b9) ^ mix(seed ^ 0x85ebca6b))
 *
 * Element `index` (row * N + column of x (T,N), modulo 2^32) is dropped iff
 * (double)dropHash(seed, index) < (double)p * 4294967296.0; a kept element is multiplied by the f32 nearest to
 * 1.0 / (1.0 - p) (doubles). Test vectors:
 *
 *   dropHash(0, 0) = 2771556020, dropHash(1, 0) = 2589050443, dropHash(0, 1) = 4088560018,
 *   dropHash(0xffffffff, 123456789) = 3735242305
 *
 * Mixing constants: Wellons 2018, "Prospecting for Hash Functions" (lowbias32), public domain.
 */
export function dropHash(seed: number, index: number): number {
  return mix(mix(index + 0x9e3779b9) ^ mix(seed ^ 0x85ebca6b))
}

function mix(value: number): number {
  let x = value >>> 0
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d)
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b)
  return (x ^ (x >>> 16)) >>> 0
}

/** Factor per element of x: 0 where dropped, 1 / (1 - p) where kept. `length` elements from index 0. */
export function dropMask(seed: number, probability: number, length: number): Float32Array {
  const threshold = probability * 2 ** 32
  const mask = new Float32Array(length).fill(1 / (1 - probability))
  for (let i = 0; i < length; i++) if (dropHash(seed, i) < threshold) mask[i] = 0
  return mask
}
