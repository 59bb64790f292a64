import { readFileSync } from "node:fs"

import fc from "fast-check"
import type { Arbitrary } from "fast-check"

import { LaminaError } from "./errors.js"
import { HELD_PRECISIONS } from "./held-precision.js"
import { LIMITS } from "./limits.js"
import { messages } from "./messages.js"
import { STRATEGY_NAMES } from "./strategy-names.js"

/** Every message with values over the whole of what its fields allow. */
type Values = { readonly [K in keyof typeof messages]: Parameters<(typeof messages)[K]["encode"]>[0] }
type Arbitraries = { readonly [K in keyof Values]: Arbitrary<Values[K]> }

const uint = (max = 0xffff_ffff, min = 0): Arbitrary<number> => fc.integer({ min, max })
const uint64 = fc.maxSafeNat()
const real = fc.double({ noNaN: true, noDefaultInfinity: true })
const positive = fc.double({ min: 0, noNaN: true, noDefaultInfinity: true })
const bytes = (length: number): Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length })
const upTo = (max: number): Arbitrary<Uint8Array> => fc.uint8Array({ maxLength: max })
const hash = bytes(32)
const maybeHash = fc.oneof(hash, fc.constant(new Uint8Array(0)))
const signature = bytes(64)
/** Text of any alphabet: at most 4 bytes a character. */
const text = (max: number): Arbitrary<string> =>
  fc.string({ unit: "grapheme", maxLength: 12 }).filter((it) => Buffer.byteLength(it) <= max)
const label = (max: number): Arbitrary<string> => text(max).filter((it) => it.length > 0 && !/\p{Cc}/u.test(it))
const runId = label(64)
const name = label(LIMITS.nameBytesMax)
const features = uint(LIMITS.featuresMax, 1)
const few = { maxLength: 4 }

const capability: Arbitrary<Values["Capability"]> = fc.record({
  memoryBytes: uint64,
  cores: uint(),
  kernels: text(100),
  tokensPerSecond: positive,
  platform: text(100),
  node: text(100),
  rankMax: uint(LIMITS.rankMax),
  precision: fc.constantFrom("", ...HELD_PRECISIONS),
  examples: uint64,
  ...{ freeMemoryBytes: uint64, forwardTokensPerSecond: positive },
  ...{ uploadBytesPerSecond: positive, downloadBytesPerSecond: positive },
  ...{ uploadBytesMax: uint64, downloadBytesMax: uint64 },
})
const task: Arbitrary<Values["TaskOffer"]> = fc.record({
  header: upTo(300),
  headerSignature: signature,
  plan: upTo(300),
  planSignature: signature,
  runId,
})
const wait: Arbitrary<Values["Wait"]> = fc.record({ retryAfterMs: uint(), reason: text(1_000) })
const ended: Arbitrary<Values["RunEnded"]> = fc.record({
  runId,
  state: text(32).filter((it) => it !== ""),
  globalAdapterHash: maybeHash,
})
const modulePlan: Arbitrary<Values["ModulePlan"]> = fc
  .record({
    name,
    outFeatures: features,
    inFeatures: features,
    rank: uint(LIMITS.rankMax, 1),
    alpha: positive,
    startRank: uint(LIMITS.rankMax),
  })
  .map((module) => ({ ...module, startRank: module.startRank % (module.rank + 1) }))
const failure: Arbitrary<Values["Failure"]> = fc.record({ code: uint(), message: text(1_000), retryAfterMs: uint() })
const file: Arbitrary<Values["BaseFile"]> = fc.record({
  path: fc.stringMatching(/^[a-z]{1,5}(\/[a-z.]{0,3}[a-z]){0,2}$/),
  bytes: uint64,
  hash,
})
const tensor: Arbitrary<Values["ManifestTensor"]> = fc.record({
  dtype: fc.constant("f32" as const),
  offset: uint64,
  bytes: uint64,
})
const manifestModule: Arbitrary<Values["ManifestModule"]> = fc.record({
  ...{ name, outFeatures: features, inFeatures: features, rank: features, alpha: positive },
  scaling: fc.constantFrom("lora", "rslora"),
  ...{ a: tensor, b: tensor },
})
const moduleScore: Arbitrary<Values["ModuleScore"]> = fc.record({ name, values: fc.array(positive, few) })
const metric: Arbitrary<Values["Metric"]> = fc.record({ name: label(100), value: real })

const arbitraries: Arbitraries = {
  Challenge: fc.record({ nonce: hash, federationId: hash, coordinatorKey: hash, software: text(100) }),
  Capability: capability,
  OpenSession: fc.record({
    ...{ publicKey: hash, signature, name, capability, joinToken: text(200) },
    ...{ version: uint(), software: text(100) },
  }),
  Session: fc.record({ clientId: bytes(16), token: text(200).filter((it) => it !== ""), serverTimeMs: uint64 }),
  NextTask: fc.record({ runId: text(64), afterRound: uint() }),
  NextTaskReply: fc.oneof(fc.record({ task }), fc.record({ wait }), fc.record({ ended })),
  Wait: wait,
  RunEnded: ended,
  TaskOffer: task,
  RoundHeader: fc.record({
    ...{ version: uint(), federationId: hash, runId, round: uint(undefined, 1), mode: fc.constant("open" as const) },
    ...{ baseHash: hash, globalAdapterHash: maybeHash, recipeHash: hash, cohortRoot: hash, previousHeaderHash: hash },
    weightRule: fc.constantFrom("tokens", "examples", "equal"),
    ...{ softDeadlineMs: uint64, hardDeadlineMs: uint64, recipientKey: bytes(1_216) },
    strategy: fc.constantFrom(...STRATEGY_NAMES),
    seed: uint(),
  }),
  ModulePlan: modulePlan,
  Plan: fc.record({
    modules: fc.uniqueArray(modulePlan, { minLength: 1, maxLength: 4, selector: (module) => module.name }),
    scaling: fc.constantFrom("lora", "rslora"),
    dropout: fc.double({ min: 0, max: 1, noNaN: true }),
    precision: fc.constantFrom(...HELD_PRECISIONS),
    ...{
      steps: uint(1e6, 1),
      batch: uint(4_096, 1),
      context: uint(131_072, 2),
      accumulate: uint(1_024, 1),
      learningRate: positive,
    },
    schedule: fc.constantFrom("constant", "linear", "cosine"),
    ...{ warmupSteps: uint(), clipNorm: positive, weightDecay: positive, seed: uint() },
    lossOn: fc.constantFrom("all", "response"),
    ...{ downloadBytesMax: uint64, proximal: positive },
    gradientCheckpointing: fc.boolean(),
    ...{ initSeed: uint(), freezeA: fc.boolean(), globalAdapterHash: maybeHash },
    ...{ reportScores: fc.boolean(), mergeGlobal: fc.boolean() },
  }),
  Decline: fc.record({ runId, round: uint(undefined, 1), code: uint(), reason: text(1_000) }),
  Progress: fc.record({
    ...{
      runId,
      round: uint(undefined, 1),
      phase: text(32),
      step: uint(),
      steps: uint(),
      loss: real,
      tokensPerSecond: positive,
    },
  }),
  Ack: fc.constant({}),
  BaseFile: file,
  BaseManifest: fc.record({
    name: text(200),
    files: fc
      .uniqueArray(file, { minLength: 1, maxLength: 4, selector: ({ path }) => path })
      .map((files) => files.sort((left, right) => (left.path < right.path ? -1 : 1))),
  }),
  UploadOpen: fc.record(
    {
      ...{
        runId,
        round: uint(undefined, 1),
        header: upTo(300),
        leaves: fc.array(hash, { minLength: 1, maxLength: 4 }),
        signature,
      },
      envelopeBytes: fc.maxSafeNat().map((it) => Math.max(1, it)),
      envelope: upTo(300),
    },
    { requiredKeys: ["runId", "round", "header", "leaves", "signature", "envelopeBytes"] },
  ),
  UploadTicket: fc.record(
    {
      ...{ uploadId: text(100).filter((it) => it !== ""), have: upTo(20), window: uint() },
      receipt: fc.record({ body: upTo(200), signature }),
    },
    { requiredKeys: ["uploadId", "have", "window"] },
  ),
  UploadCommit: fc.record({ uploadId: text(100).filter((it) => it !== ""), envelopeRoot: hash }),
  Receipt: fc.record({ body: upTo(200), signature }),
  ReceiptBody: fc.record({
    status: fc.constantFrom("ACCEPTED", "DUPLICATE", "LATE", "CLOSED", "REJECTED"),
    ...{ code: uint(), sequence: uint64, roundHeaderHash: hash, envelopeRoot: hash, clientId: bytes(16) },
  }),
  Failure: failure,
  Reply: fc.oneof(fc.record({ ok: upTo(300) }), fc.record({ failure })),
  EnvelopeHeader: fc.record({
    ...{ version: uint(), suite: uint(), federationId: hash, roundHeaderHash: hash, clientId: bytes(16) },
    ...{
      purpose: fc.constant("update" as const),
      manifestHash: hash,
      plaintextBytes: uint64,
      segmentBytes: uint(undefined, 1),
    },
    ...{ segments: uint(), salt: bytes(24), stanzaRoot: hash, keyCommitment: maybeHash, stanzas: uint(undefined, 1) },
  }),
  ManifestTensor: tensor,
  ManifestModule: manifestModule,
  Metric: metric,
  ModuleScore: moduleScore,
  UpdateManifest: fc.record({
    weight: uint64.map((it) => it % (LIMITS.weightMax + 1)),
    modules: fc.array(manifestModule, { ...few, minLength: 1 }),
    metrics: fc.array(metric, few),
    scores: fc.array(moduleScore, few),
  }),
}

interface AnyCodec {
  encode(value: unknown): Uint8Array
  decode(bytes: Uint8Array): unknown
}
const cases = Object.entries(messages).map(
  ([key, codec]) =>
    [key, codec as unknown as AnyCodec, arbitraries[key as keyof Values] as Arbitrary<unknown>] as const,
)

test.each(cases)("every %s comes back as it was, in the same bytes", (_, codec, arbitrary) => {
  fc.assert(
    fc.property(arbitrary, (value) => {
      const frame = codec.encode(value)
      const decoded = codec.decode(frame)
      expect(decoded).toEqual(value)
      expect(codec.encode(decoded)).toEqual(frame)
    }),
    { numRuns: 60, seed: 11 },
  )
})

/** Bit flips, cuts, bytes put in, pieces of another frame: 20,000 over all messages. */
test("a damaged frame gives a value or a LaminaError of the 1000s, never anything else", () => {
  const frames = cases.map(
    ([, codec, arbitrary]) =>
      [codec, fc.sample(arbitrary, { numRuns: 4, seed: 5 }).map((it) => codec.encode(it))] as const,
  )
  const damage = fc.record({
    which: fc.nat(frames.length - 1),
    sample: fc.nat(3),
    edits: fc.array(fc.record({ at: fc.nat(2_000), remove: fc.nat(3), insert: fc.uint8Array({ maxLength: 6 }) }), {
      minLength: 1,
      maxLength: 4,
    }),
  })
  let refused = 0
  fc.assert(
    fc.property(damage, ({ which, sample, edits }) => {
      const [codec, encoded] = frames[which] as (typeof frames)[number]
      let frame: Uint8Array = encoded[sample] as Uint8Array
      for (const { at, remove, insert } of edits) {
        const from = frame.length === 0 ? 0 : at % frame.length
        frame = Buffer.concat([frame.subarray(0, from), insert, frame.subarray(from + remove)])
      }
      try {
        codec.decode(frame)
      } catch (error) {
        refused++
        expect(error).toBeInstanceOf(LaminaError)
        expect((error as LaminaError).code).toMatch(/^FRAME_/)
      }
    }),
    { numRuns: 20_000, seed: 42 },
  )
  expect(refused).toBeGreaterThan(10_000) // else the damage did not reach the decoders
})

test("the codecs have the fields of the .proto file, in the order of their numbers", () => {
  const proto = readFileSync(new URL("../proto/lamina.proto", import.meta.url), "utf8").replace(/\/\/.*/g, "")
  const declared = [...proto.matchAll(/message (\w+) \{((?:[^{}]|\{[^{}]*\})*)\}/g)].map(([, message, body]) => [
    message,
    [...(body ?? "").matchAll(/(\w+) = (\d+);/g)].map(([, field, number]) => `${number} ${field}`),
  ])
  const coded = Object.entries(messages).map(([message, codec]) => [
    message,
    codec.keys.map((key, i) => `${i + 1} ${key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`),
  ])
  expect(coded.sort()).toEqual(declared.sort())
})

const anyOf = (key: keyof Values): object =>
  fc.sample(arbitraries[key] as Arbitrary<object>, { numRuns: 1, seed: 3 })[0] as object
const long = (length: number): string => "x".repeat(length)

/** [message, field, values that pass, values that do not]: at each limit, and one past it. */
test.each<[keyof Values, string, unknown[], unknown[]]>([
  ["Challenge", "nonce", [new Uint8Array(32)], [new Uint8Array(31), new Uint8Array(33), "x", null]],
  ["Session", "clientId", [new Uint8Array(16)], [new Uint8Array(15), new Uint8Array(17)]],
  ["Session", "serverTimeMs", [0, 2 ** 53 - 1], [2 ** 53, -1, 0.5, NaN, "1"]],
  ["RunEnded", "globalAdapterHash", [new Uint8Array(0), new Uint8Array(32)], [new Uint8Array(1), new Uint8Array(33)]],
  ["TaskOffer", "runId", [long(64), "ü".repeat(32)], ["", long(65), "ü".repeat(33), "a\nb", "\ud800"]],
  ["OpenSession", "name", [long(200), "Zürich 7"], ["", long(201), "a\u0007", "\u009b2J"]],
  ["RoundHeader", "recipientKey", [new Uint8Array(1_216)], [new Uint8Array(1_215), new Uint8Array(1_217)]],
  ["RoundHeader", "mode", ["open"], ["blind", "masked", "", "OPEN"]],
  ["RoundHeader", "strategy", ["flora", "fedit"], ["fedavg", ""]],
  ["RoundHeader", "round", [1, 0xffff_ffff], [0, 2 ** 32]],
  ["ModulePlan", "rank", [1, LIMITS.rankMax], [0, LIMITS.rankMax + 1]],
  ["ModulePlan", "inFeatures", [1, LIMITS.featuresMax], [0, LIMITS.featuresMax + 1]],
  ["ModulePlan", "alpha", [0, 1e300], [-1, Infinity, NaN]],
  ["Plan", "modules", [], [[]]],
  ["Plan", "dropout", [0, 1], [-0.1, 1.1]],
  ["Plan", "precision", ["f32", "bf16", "q8", "q4", "nf4"], ["", "f16", "Q8"]],
  ["Plan", "schedule", ["constant", "linear", "cosine"], ["polynomial"]],
  ["Plan", "steps", [1, 1_000_000], [0, 1_000_001]],
  ["Plan", "batch", [1, 4_096], [0, 4_097]],
  ["Plan", "context", [2, 131_072], [1, 131_073]],
  ["Plan", "accumulate", [1, 1_024], [0, 1_025]],
  ["Progress", "loss", [-1, 0, 1e300], [NaN, Infinity]],
  [
    "BaseFile",
    "path",
    ["a", "a/b.c", "a b"],
    ["", "/a", "a/", "a//b", "../a", "a/../b", "./a", "a\\b", "c:x", long(201)],
  ],
  ["UploadOpen", "leaves", [[new Uint8Array(32)]], [[], [new Uint8Array(31)]]],
  ["UploadOpen", "header", [new Uint8Array(16_384)], [new Uint8Array(16_385)]],
  ["UploadOpen", "envelopeBytes", [1], [0]],
  ["UploadOpen", "envelope", [new Uint8Array(65_536)], [new Uint8Array(65_537)]],
  ["UploadTicket", "have", [new Uint8Array(4_096)], [new Uint8Array(4_097)]],
  ["ReceiptBody", "status", ["LATE", "CLOSED"], ["late", "", "OK"]],
  ["Failure", "message", [long(1_000)], [long(1_001)]],
  ["EnvelopeHeader", "salt", [new Uint8Array(24)], [new Uint8Array(23), new Uint8Array(25)]],
  ["EnvelopeHeader", "purpose", ["update"], ["avg"]],
  ["ManifestTensor", "dtype", ["f32"], ["f16", "F32"]],
  ["UpdateManifest", "weight", [0, LIMITS.weightMax], [LIMITS.weightMax + 1]],
])("%s.%s: the limits hold and name the field", (key, field, good, bad) => {
  const codec = messages[key] as unknown as AnyCodec
  for (const value of good) {
    const message = { ...anyOf(key), [field]: value }
    expect(codec.decode(codec.encode(message))).toEqual(message)
  }
  for (const value of bad)
    expect(() => codec.encode({ ...anyOf(key), [field]: value })).toThrow(
      expect.objectContaining({ code: "FRAME_MALFORMED", message: expect.stringContaining(`${key}.${field}`) }),
    )
})

test("lists that must rise or be unique are refused otherwise", () => {
  const files = ["a", "b"].map((path) => ({ path, bytes: 1, hash: new Uint8Array(32) }))
  const [a, b] = files as [Values["BaseFile"], Values["BaseFile"]]
  expect(messages.BaseManifest.encode({ name: "n", files: [a, b] })).toBeInstanceOf(Uint8Array)
  for (const wrong of [
    [b, a],
    [a, a],
  ])
    expect(() => messages.BaseManifest.encode({ name: "n", files: wrong })).toThrow(
      expect.objectContaining({ code: "FRAME_MALFORMED" }),
    )
  const plan = anyOf("Plan") as Values["Plan"]
  const twice = [plan.modules[0], plan.modules[0]] as Values["Plan"]["modules"]
  expect(() => messages.Plan.encode({ ...plan, modules: twice })).toThrow("a module comes twice")
})

test("4,096 modules are the most a plan may have, counted before anything is decoded", () => {
  const plan = anyOf("Plan") as Values["Plan"]
  const module = (_: unknown, i: number): Values["ModulePlan"] => ({
    name: `m${i}`,
    outFeatures: 1,
    inFeatures: 1,
    rank: 1,
    alpha: 1,
    startRank: 0,
  })
  const modules = Array.from({ length: LIMITS.modulesMax }, module)
  const frame = messages.Plan.encode({ ...plan, modules })
  expect(messages.Plan.decode(frame).modules).toHaveLength(LIMITS.modulesMax)
  const one = Uint8Array.of(0x0a, 0) // field 1: an empty ModulePlan
  expect(() => messages.Plan.decode(Buffer.concat([frame, one]))).toThrow(
    expect.objectContaining({ code: "FRAME_TOO_LARGE", message: expect.stringContaining("at most 4096 entries") }),
  )
})
