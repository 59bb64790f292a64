import { threefry } from "../model/counter-random.js"
import type { Tokenizer } from "../tokenizer/tokenizer.js"
import { createBatches, joinRows } from "./batches.js"
import { packWindows } from "./rows.js"
import { TokenSpool } from "./token-spool.js"
import { tokenizeDocument } from "./tokens.js"
import type { TokenDocument } from "./tokens.js"

/** Token `first`, `first + 1`, ... */
const run = (first: number, length: number, lossFrom = 0): TokenDocument => ({
  ids: Int32Array.from({ length }, (_, i) => first + i),
  predicted: new Uint8Array(length).fill(1, lossFrom),
})
const packed = (documents: readonly TokenDocument[], context: number, memoryTokens?: number): TokenDocument[][] => {
  const spool = new TokenSpool({ context, memoryTokens })
  for (const document of documents) spool.add(document)
  const rows = spool.finish()
  const all = Array.from({ length: rows.length }, (_, i) => [...(rows.at(i) ?? [])])
  rows.close()
  return all
}
const idsOf = (rows: readonly (readonly TokenDocument[])[]): number[][][] =>
  rows.map((row) => row.map(({ ids }) => [...ids]))

describe("tokenizeDocument", () => {
  /** One token per character; 99 ends. */
  const letters: Tokenizer = {
    encode: (text) => Int32Array.from([...text], (letter) => letter.charCodeAt(0) - 97),
    decode: (ids) => String.fromCharCode(...Array.from(ids, (id) => id + 97)),
    vocabularySize: 100,
  }
  const conversation = {
    segments: [
      { text: "ab", predicted: false },
      { text: "cd", predicted: true, ends: true as const },
      { text: "e", predicted: false },
      { text: "f", predicted: true, ends: true as const },
    ],
  }

  test("counts every answer and nothing else where the response alone counts", () => {
    expect(tokenizeDocument(conversation, letters, { lossOn: "response" })).toEqual({
      ids: Int32Array.of(0, 1, 2, 3, 4, 5),
      predicted: Uint8Array.of(0, 0, 1, 1, 0, 1),
    })
    expect(tokenizeDocument(conversation, letters, { lossOn: "all" }).predicted).toEqual(new Uint8Array(6).fill(1))
  })

  test("ends every answer with the end token, which counts, and no plain text", () => {
    const tokens = tokenizeDocument(conversation, { ...letters, eosId: 99 }, { lossOn: "response" })
    expect(tokens.ids).toEqual(Int32Array.of(0, 1, 2, 3, 99, 4, 5, 99))
    expect(tokens.predicted).toEqual(Uint8Array.of(0, 0, 1, 1, 1, 0, 1, 1))
    const plain = { segments: [{ text: "ab", predicted: true }] }
    expect(tokenizeDocument(plain, { ...letters, eosId: 99 }, { lossOn: "all" }).ids).toEqual(Int32Array.of(0, 1))
  })
})

describe("packWindows", () => {
  test("fills rows with the longest first, each where it leaves the least room", () => {
    // context 10: 7 opens a row (room 3), 6 another (room 4), 4 fits the second, 3 the first, 2 opens a third
    expect(packWindows([2, 3, 4, 6, 7], { context: 10 })).toEqual([[4, 1], [3, 2], [0]])
  })

  test("never loses or repeats a window and never overfills a row", () => {
    for (let seed = 0; seed < 50; seed++) {
      const [count, size] = threefry([seed, 5], [0, 0])
      const context = 2 + (size % 40)
      const lengths = Array.from(
        { length: 1 + (count % 60) },
        (_, i) => 2 + (threefry([seed, 6], [i, 0])[0] % (context - 1)),
      )
      const rows = packWindows(lengths, { context })
      expect(rows.flat().sort((left, right) => left - right)).toEqual(lengths.map((_, i) => i))
      const sizes = rows.map((row) => row.reduce((sum, i) => sum + Number(lengths[i]), 0)).sort((a, b) => a - b)
      for (const filled of sizes) expect(filled).toBeLessThanOrEqual(context)
      // best fit never leaves two rows that would fit into one
      expect(Number(sizes[0]) + Number(sizes[1] ?? context)).toBeGreaterThan(sizes.length > 1 ? context : 0)
    }
  })

  test("packs 20,000 documents into rows of 8,192 tokens quickly and nearly full", () => {
    const lengths = Array.from({ length: 20_000 }, (_, i) => 20 + (threefry([9, 9], [i, 0])[0] % 400))
    const tokens = lengths.reduce((sum, length) => sum + length, 0)
    // about 535 rows if all were full; documents of 20 to 419 tokens leave well under 1 % of 8,192 unused
    expect(packWindows(lengths, { context: 8192 }).length).toBeLessThanOrEqual(Math.ceil((1.01 * tokens) / 8192))
  })
})

describe("TokenSpool", () => {
  test("cuts a long document into windows that do not overlap", () => {
    expect(idsOf(packed([run(0, 9)], 4))).toEqual([
      [[0, 1, 2, 3]],
      [[4, 5, 6, 7]], // the ninth token is a window that predicts nothing
    ])
  })

  test("leaves out windows whose every token is prompt", () => {
    // 6 of 10 are prompt: the first window of 5 predicts nothing, in the second tokens 6..9 count
    expect(packed([run(0, 10, 6)], 5)).toEqual([
      [{ ids: Int32Array.of(5, 6, 7, 8, 9), predicted: Uint8Array.of(0, 1, 1, 1, 1) }],
    ])
  })

  test("windows run on over the parts of one document", () => {
    const spool = new TokenSpool({ context: 4 })
    spool.add(run(0, 3), true)
    spool.add(run(3, 3))
    const rows = spool.finish()
    expect(idsOf([[...(rows.at(0) ?? [])], [...(rows.at(1) ?? [])]])).toEqual([[[0, 1, 2, 3]], [[4, 5]]])
    expect(rows).toMatchObject({ length: 2, tokens: 6, examples: 1 })
    expect(rows.at(2)).toBeUndefined()
  })

  test("takes windows longer than a block", () => {
    const context = 2 ** 20 + 3
    const [first, second] = packed([run(0, context), run(7, context)], context)
    expect(first?.[0]?.ids.at(-1)).toBe(context - 1)
    expect(second?.[0]?.ids.at(-1)).toBe(context + 6)
  })

  test("gives the same rows and identity from the disk as from memory", () => {
    const documents = Array.from({ length: 300 }, (_, i) => run(1000 * i, 2 + (i % 17), i % 3))
    expect(packed(documents, 8, 100)).toEqual(packed(documents, 8))
    const identity = (given: readonly TokenDocument[], memoryTokens: number): string => {
      const spool = new TokenSpool({ context: 8, memoryTokens })
      for (const document of given) spool.add(document)
      const rows = spool.finish()
      rows.close()
      return rows.identity
    }
    expect(identity(documents, 1)).toBe(identity(documents, 1e9))
    expect(identity(documents.slice(1), 1)).not.toBe(identity(documents, 1))
    expect(identity([run(0, 5, 2)], 9)).not.toBe(identity([run(0, 5, 3)], 9)) // which tokens count is part of it
  })

  test("refuses documents that predict nothing", () => {
    for (const documents of [[], [run(0, 1)], [run(0, 0)], [run(0, 5, 5)]])
      expect(() => packed(documents, 8)).toThrow(expect.objectContaining({ code: "DATA_EMPTY" }))
  })
})

describe("joinRows", () => {
  test("shifts targets inside each segment and restarts positions", () => {
    const batch = joinRows([[run(10, 3), run(20, 2)], [run(30, 4, 2)]])
    expect(batch).toEqual({
      ids: Int32Array.of(10, 11, 12, 20, 21, 30, 31, 32, 33),
      // the last token of a segment predicts nothing; in the third, tokens 0 and 1 do not count as predicted
      targets: Int32Array.of(11, 12, -1, 21, -1, -1, 32, 33, -1),
      positions: Int32Array.of(0, 1, 2, 0, 1, 0, 1, 2, 3),
      offsets: Int32Array.of(0, 3, 5, 9),
      predicted: 5,
    })
  })

  test("predicted is the number of targets", () => {
    for (const lossFrom of [0, 1, 2, 4, 5, 9]) {
      const { targets, predicted } = joinRows([[run(0, 5, lossFrom)]])
      expect(targets.filter((target) => target >= 0)).toHaveLength(predicted)
      expect(predicted).toBe(Math.max(0, 5 - Math.max(1, lossFrom)))
    }
  })
})

describe("createBatches", () => {
  const rows = Array.from({ length: 10 }, (_, i) => [run(100 * i, 2)])
  /** Which rows a batch took, in order. */
  const taken = (batchAt: ReturnType<typeof createBatches>, index: number): number[] => {
    const { ids, offsets } = batchAt(index)
    return [...offsets.subarray(0, -1)].map((at) => Number(ids[at]) / 100)
  }

  test("takes every row once per epoch, in another order each time", () => {
    const batchAt = createBatches({ rows, batch: 2, seed: 1 })
    const epochs = [0, 1, 2].map((epoch) => [0, 1, 2, 3, 4].flatMap((i) => taken(batchAt, epoch * 5 + i)))
    for (const epoch of epochs)
      expect([...epoch].sort((left, right) => left - right)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    expect(new Set(epochs.map(String)).size).toBe(3)
  })

  test("is a pure function of seed and index: asked again, backwards or by another, it gives the same", () => {
    const [one, two] = [createBatches({ rows, batch: 3, seed: 7 }), createBatches({ rows, batch: 3, seed: 7 })]
    const forwards = Array.from({ length: 12 }, (_, i) => taken(one, i))
    const backwards = Array.from({ length: 12 }, (_, i) => taken(two, 11 - i)).reverse()
    expect(backwards).toEqual(forwards)
    expect(taken(createBatches({ rows, batch: 3, seed: 8 }), 0)).not.toEqual(forwards[0])
  })

  test("the first order of seed 0 stays what it was, so that a checkpoint resumes after an update", () => {
    // recorded from the first version of this code
    const first = [0, 1, 2, 3, 4].flatMap((i) => taken(createBatches({ rows, batch: 2, seed: 0 }), i))
    expect(first).toEqual([0, 9, 6, 7, 1, 2, 4, 5, 8, 3])
  })

  test("runs on into the next epoch, and repeats rows when there are fewer than a batch", () => {
    const three = rows.slice(0, 3)
    const batchAt = createBatches({ rows: three, batch: 4, seed: 3 })
    for (let index = 0; index < 6; index++) expect(taken(batchAt, index)).toHaveLength(4)
    const counts = [0, 1, 2].map(
      (row) => [0, 1, 2].flatMap((index) => taken(batchAt, index)).filter((id) => id === row).length,
    )
    expect(counts).toEqual([4, 4, 4]) // 3 batches of 4 are 4 epochs of 3
  })

  test("over many seeds every row comes first about equally often", () => {
    const firsts = Array.from({ length: 2_000 }, (_, seed) =>
      Number(taken(createBatches({ rows, batch: 1, seed }), 0)[0]),
    )
    // 200 expected of each, deviation sqrt(2000 * 0.1 * 0.9) = 13.4; five deviations fail once in 10^5 for a fair
    // shuffle
    for (let row = 0; row < 10; row++) {
      const count = firsts.filter((first) => first === row).length
      expect(Math.abs(count - 200)).toBeLessThan(67)
    }
  })
})
