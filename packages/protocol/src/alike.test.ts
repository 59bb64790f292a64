import fc from "fast-check"

import { messages } from "./messages.js"

type Manifest = Parameters<typeof messages.UpdateManifest.encode>[0]
type Module = Manifest["modules"][number]

const tensor = { dtype: "f32", offset: 0, bytes: 4 } as const
const module = (name: string, rank = 1): Module => ({
  ...{ name, rank, outFeatures: 8, inFeatures: 8, alpha: 2 * rank, scaling: "lora" },
  ...{ a: tensor, b: tensor },
})
const manifest = (modules: readonly Module[], weight = 1): Manifest => ({
  ...{ weight, modules, scores: [] },
  metrics: [{ name: "loss", value: weight / 4 }],
})
const { encode, decode } = messages.UpdateManifest

test("messages with the same list share it, frozen; what else they say is their own", () => {
  const modules = [module("shared.a"), module("shared.b")]
  const [first, second] = [decode(encode(manifest(modules, 1))), decode(encode(manifest(modules, 2)))]
  expect(first).toEqual(manifest(modules, 1))
  expect(second).toEqual(manifest(modules, 2))
  expect(second.modules).toBe(first.modules)
  expect(() => Object.assign(second.modules[0]!.a, { offset: 64 })).toThrow(TypeError)
  expect(() => (second.modules as Module[]).pop()).toThrow(TypeError)
})

test("whatever was read before: a message reads as it was written", () => {
  const list = fc.array(fc.tuple(fc.constantFrom("q", "k", "v"), fc.integer({ min: 1, max: 3 })), {
    minLength: 1,
    maxLength: 3,
  })
  fc.assert(
    fc.property(fc.array(fc.tuple(list, fc.nat(9)), { maxLength: 40 }), (all) => {
      for (const [modules, weight] of all) {
        const written = manifest(
          modules.map(([name, rank]) => module(name, rank)),
          weight,
        )
        expect(decode(encode(written))).toEqual(written)
      }
    }),
  )
})

test("memory that is used again for another message, a Buffer, does not pass for the one before", () => {
  const [first, second] = [encode(manifest([module("reused.a")])), encode(manifest([module("reused.b")]))]
  const memory = Buffer.from(first)
  expect(decode(memory).modules).toEqual([module("reused.a")])
  memory.set(second)
  expect(decode(memory).modules).toEqual([module("reused.b")])
})

test("a list of which entries come later is read whole", () => {
  const [one, another] = [module("torn.a"), module("torn.b")]
  const known = encode(manifest([one]))
  decode(known)
  const entry = messages.ManifestModule.encode(another)
  const torn = Uint8Array.of(...known, 0x12, entry.byteLength, ...entry)
  for (let again = 0; again < 2; again++) expect(decode(torn).modules).toEqual([one, another])
})

test("a known list in a message that is none does not save it", () => {
  const known = encode(manifest([module("broken")]))
  decode(known)
  const wrong = [
    [...known, 0x08, 1], // a second weight
    [...known, 0x12, 200], // an entry that is not all there
    [...known, 0x1a, 1, 0xff], // a metric that is no message
    known.slice(0, -1),
  ]
  for (const bytes of wrong) expect(() => decode(Uint8Array.from(bytes))).toThrow(/UpdateManifest/)
})

test("rules between fields hold for a shared list, too", () => {
  const plan = messages.Plan.decode(messages.Plan.encode(PLAN))
  expect(plan).toEqual(PLAN)
  expect(() => messages.Plan.encode({ ...PLAN, modules: [...PLAN.modules, ...PLAN.modules] })).toThrow(/comes twice/)
  expect(messages.Plan.decode(messages.Plan.encode({ ...PLAN, seed: 8 })).modules).toBe(plan.modules)
})

const PLAN: Parameters<typeof messages.Plan.encode>[0] = {
  modules: [{ name: "q", outFeatures: 8, inFeatures: 8, rank: 2, alpha: 4, startRank: 0 }],
  ...{ scaling: "lora", dropout: 0, precision: "q8", steps: 1, batch: 1, context: 8, accumulate: 1 },
  ...{ learningRate: 0.1, schedule: "constant", warmupSteps: 0, clipNorm: 1, weightDecay: 0, seed: 7 },
  ...{ lossOn: "all", downloadBytesMax: 0, proximal: 0, gradientCheckpointing: false, initSeed: 1 },
  ...{ freezeA: false, globalAdapterHash: new Uint8Array(0), reportScores: false, mergeGlobal: false },
}
