import { createHash } from "node:crypto"

/** Uniform in [0, 1), a function of the seed and what is asked alone: nothing depends on the order of questions. */
export function chance(seed: number, ...question: readonly (string | number)[]): number {
  const digest = createHash("sha256")
    .update(JSON.stringify([seed, ...question]))
    .digest()
  return digest.readUIntBE(0, 6) / 2 ** 48
}
