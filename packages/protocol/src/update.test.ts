import fc from "fast-check"

import { LaminaError } from "./errors.js"
import { decodeUpdate, encodeAdapter, encodeUpdate } from "./update.js"
import type { UpdateContent } from "./update.js"

const module = (name: string, rank = 2): UpdateContent["adapter"]["modules"][number] => ({
  ...{ name, outFeatures: 3, inFeatures: 5, rank, alpha: 4, scaling: "lora" },
  a: Float32Array.from({ length: rank * 5 }, (_, i) => i + 0.5),
  b: Float32Array.from({ length: 3 * rank }, (_, i) => -i),
})
const content: UpdateContent = {
  weight: 9,
  metrics: [{ name: "loss", value: 1.25 }],
  scores: [{ name: "m.a", values: [0.5, 0.25] }],
  adapter: { modules: [module("m.a"), module("m.b", 1)] },
}

test("an update comes back as it was, also from a Buffer at an odd offset", () => {
  const bytes = encodeUpdate(content)
  const odd = Buffer.concat([Buffer.of(1), bytes]).subarray(1)
  expect(decodeUpdate(odd)).toEqual(content)
})

test("tensors lie at multiples of 64 and the same content gives the same bytes", () => {
  const bytes = encodeAdapter(content.adapter)
  expect(encodeAdapter(content.adapter)).toEqual(bytes)
  // four tensors of 40, 24, 20 and 12 bytes: the last begins 3 * 64 after the first
  const manifest = new DataView(bytes.buffer).getUint32(0, true)
  expect(bytes.byteLength).toBe(Math.ceil((4 + manifest) / 64) * 64 + 3 * 64 + 12)
})

test("every truncation and 10,000 mutations give an update or a LaminaError", () => {
  const bytes = encodeUpdate(content)
  for (let length = 0; length < bytes.length; length++)
    expect(() => decodeUpdate(bytes.subarray(0, length))).toThrow(LaminaError)
  expect(() => decodeUpdate(Buffer.concat([bytes, Buffer.of(0)]))).toThrow(LaminaError)
  fc.assert(
    fc.property(
      fc.nat(bytes.length - 1),
      fc.nat(255),
      fc.nat(bytes.length - 1),
      fc.nat(255),
      (at, byte, at2, byte2) => {
        const mutant = Uint8Array.from(bytes)
        mutant[at] = byte
        mutant[at2] = byte2
        try {
          decodeUpdate(mutant)
        } catch (error) {
          expect(error).toBeInstanceOf(LaminaError)
        }
      },
    ),
    { numRuns: 10_000, seed: 7 },
  )
})
