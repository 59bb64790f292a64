import fc from "fast-check"

import { LaminaError } from "./errors.js"
import { LIMITS } from "./limits.js"
import { messages } from "./messages.js"

const hash = new Uint8Array(32).fill(0xab)
const samples: { readonly [K in keyof typeof messages]?: unknown } = {
  Hello: { version: 1, software: "lamina/0.1.0" },
  Challenge: { nonce: hash, federationId: hash, coordinatorKey: hash, software: "s" },
  OpenSession: {
    publicKey: hash,
    signature: new Uint8Array(64).fill(1),
    name: "north",
    capability: {
      ...{
        memoryBytes: 2 ** 40 + 1,
        cores: 8,
        kernels: "native",
        tokensPerSecond: 812.5,
        platform: "linux-x64",
        node: "v20",
      },
      ...{ rankMax: 16, precision: "q8", examples: 7 },
    },
    joinToken: "",
  },
  Session: { clientId: new Uint8Array(16).fill(3), token: "t", serverTimeMs: 1_795_489_841_453 },
  NextTaskReply: { wait: { retryAfterMs: 15_000, reason: "1 of 2 clients are here" } },
  Plan: {
    modules: [{ name: "model.layers.0.mlp.up_proj", outFeatures: 512, inFeatures: 192, rank: 8, alpha: 16 }],
    ...{
      scaling: "lora",
      dropout: 0.1,
      precision: "q4",
      steps: 12,
      batch: 8,
      context: 256,
      accumulate: 1,
      learningRate: 0.003,
    },
    ...{ schedule: "cosine", warmupSteps: 0, clipNorm: 1, weightDecay: 0, seed: 0xffff_ffff, lossOn: "all" },
    ...{ downloadBytesMax: 0, proximal: 0 },
  },
  BaseManifest: { name: "tiny", files: [{ path: "config.json", bytes: 816, hash }] },
  UploadOpen: {
    runId: "r",
    round: 2,
    header: Uint8Array.of(1, 2),
    leaves: [hash, hash],
    signature: new Uint8Array(64),
    envelopeBytes: 300_000,
  },
  UploadTicket: { uploadId: "u", have: Uint8Array.of(0b101), window: 4 },
  ReceiptBody: {
    status: "ACCEPTED",
    code: 0,
    sequence: 5,
    roundHeaderHash: hash,
    envelopeRoot: hash,
    clientId: new Uint8Array(16),
  },
  Reply: { failure: { code: 2004, message: "the envelope is for another round", retryAfterMs: 0 } },
  Progress: { runId: "r", round: 1, phase: "training", step: 3, steps: 12, loss: 4.25, tokensPerSecond: 0 },
}
type AnyCodec = { encode(value: unknown): Uint8Array; decode(bytes: Uint8Array): unknown }
const codecs = messages as unknown as Record<string, AnyCodec>
const cases = Object.entries(samples).map(([name, value]) => [name, codecs[name] as AnyCodec, value] as const)

test.each(cases)("%s comes back as it was", (_, codec, value) => {
  expect(codec.decode(codec.encode(value))).toEqual(value)
})

test("the bytes of a Wait are these", () => {
  // field 1, varint: 08, 15000 = 98 75; field 2, length 2: 12 02 "ok"
  expect(Buffer.from(messages.Wait.encode({ retryAfterMs: 15_000, reason: "ok" })).toString("hex")).toBe(
    "08987512026f6b",
  )
})

test("20,000 mutated frames give a value or a LaminaError, never anything else", () => {
  const frames = cases.map(([, codec, value]) => [codec, codec.encode(value)] as const)
  const mutation = fc.record({
    which: fc.nat(frames.length - 1),
    at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
    byte: fc.nat(255),
    cut: fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { freq: 4 }),
  })
  fc.assert(
    fc.property(mutation, ({ which, at, byte, cut }) => {
      const [codec, frame] = frames[which] as (typeof frames)[number]
      const bytes = Uint8Array.from(frame)
      bytes[Math.floor(at * bytes.length)] = byte
      expectOnlyLaminaErrors(() =>
        codec.decode(cut === null ? bytes : bytes.subarray(0, Math.floor(cut * bytes.length))),
      )
    }),
    { numRuns: 20_000, seed: 42 },
  )
})

function expectOnlyLaminaErrors(work: () => unknown): void {
  try {
    work()
  } catch (error) {
    expect(error).toBeInstanceOf(LaminaError)
    expect(["FRAME_MALFORMED", "FRAME_TOO_LARGE"]).toContain((error as LaminaError).code)
  }
}

test.each([
  [
    "a hash of 31 bytes",
    () =>
      messages.Challenge.encode({ nonce: new Uint8Array(31), federationId: hash, coordinatorKey: hash, software: "" }),
  ],
  [
    "a word that is not in the list",
    () => messages.Plan.decode(messages.Plan.encode({ ...(samples.Plan as object), scaling: "other" as never })),
  ],
  [
    "a number that is not finite",
    () => messages.Progress.encode({ ...(samples.Progress as object), loss: NaN as never }),
  ],
  [
    "two alternatives at once",
    () =>
      messages.NextTaskReply.encode({
        wait: { retryAfterMs: 1, reason: "" },
        ended: { runId: "r", state: "done", globalAdapterHash: hash },
      }),
  ],
  ["no alternative", () => messages.Reply.decode(new Uint8Array(0))],
])("%s is FRAME_MALFORMED", (_, work) => {
  expect(work).toThrow(expect.objectContaining({ code: "FRAME_MALFORMED" }))
})

test("a frame at the limit is looked at, one byte over is refused by its size alone", () => {
  // field 2 (software) as one long text: tag, length as a 3-byte varint, then the text
  const padding = (bytes: number): Uint8Array => {
    const length = bytes - 4
    const start = [0x12, (length & 0x7f) | 0x80, ((length >> 7) & 0x7f) | 0x80, length >> 14]
    return Uint8Array.from({ length: bytes }, (_, i) => start[i] ?? 0x61)
  }
  expect(() => messages.Hello.decode(padding(LIMITS.frameBytesMax))).toThrow(
    expect.objectContaining({ code: "FRAME_MALFORMED" }),
  )
  expect(() => messages.Hello.decode(padding(LIMITS.frameBytesMax + 1))).toThrow(
    expect.objectContaining({ code: "FRAME_TOO_LARGE" }),
  )
})

test("a frame of a hundred thousand empty sub-messages is refused before it is decoded", () => {
  const empties = new Uint8Array(2 * (LIMITS.fieldsMax + 1))
  for (let i = 0; i < empties.length; i += 2) empties[i] = 0x0a // field 1, length 0
  expect(() => messages.Plan.decode(empties)).toThrow(expect.objectContaining({ code: "FRAME_TOO_LARGE" }))
})

test("decoded bytes do not alias the frame", () => {
  const frame = messages.UploadTicket.encode({ uploadId: "u", have: Uint8Array.of(7), window: 1 })
  const { have } = messages.UploadTicket.decode(frame)
  frame.fill(0)
  expect([...have]).toEqual([7])
})
