import { threefry } from "../model/counter-random.js"
import type { Tokenizer } from "../tokenizer/tokenizer.js"
import { createBatches, joinRows } from "./batches.js"
import { packRows } from "./rows.js"
import { countTokens, tokenizeDocuments } from "./tokens.js"
import type { TokenDocument } from "./tokens.js"

/** Token `first`, `first + 1`, ... */
const run = (first: number, length: number, lossFrom = 0): TokenDocument => ({
  ids: Int32Array.from({ length }, (_, i) => first + i),
  lossFrom,
})
const idsOf = (rows: readonly (readonly TokenDocument[])[]): number[][][] =>
  rows.map((row) => row.map(({ ids }) => [...ids]))

describe("tokenizeDocuments", () => {
  /** One token per character; 99 ends. */
  const letters: Tokenizer = {
    encode: (text) => Int32Array.from([...text], (letter) => letter.charCodeAt(0) - 97),
    decode: (ids) => String.fromCharCode(...Array.from(ids, (id) => id + 97)),
    vocabularySize: 100,
  }
  const documents = [{ prompt: "ab", text: "cd" }, { text: "e" }]

  test("joins prompt and response and masks the prompt where the response alone counts", () => {
    expect(tokenizeDocuments(documents, letters, { lossOn: "response" })).toEqual([
      { ids: Int32Array.of(0, 1, 2, 3), lossFrom: 2 },
      { ids: Int32Array.of(4), lossFrom: 0 },
    ])
    expect(tokenizeDocuments(documents, letters, { lossOn: "all" })[0]?.lossFrom).toBe(0)
  })

  test("ends a response, and no plain text, with the end token", () => {
    const tokens = tokenizeDocuments(documents, { ...letters, eosId: 99 }, { lossOn: "response" })
    expect(tokens.map(({ ids }) => [...ids])).toEqual([[0, 1, 2, 3, 99], [4]])
    expect(countTokens(tokens)).toBe(6)
  })
})

describe("packRows", () => {
  test("fills rows with the longest first, each where it leaves the least room", () => {
    // context 10: 7 opens a row (room 3), 6 another (room 4), 4 fits the second, 3 the first, 2 opens a third
    const documents = [run(0, 2), run(10, 3), run(20, 4), run(30, 6), run(40, 7)]
    const lengths = packRows(documents, { context: 10 }).map((row) => row.map(({ ids }) => ids.length))
    expect(lengths).toEqual([[7, 3], [6, 4], [2]])
  })

  test("cuts a long document into windows that do not overlap", () => {
    expect(idsOf(packRows([run(0, 9)], { context: 4 }))).toEqual([
      [[0, 1, 2, 3]],
      [[4, 5, 6, 7]], // the ninth token is a window that predicts nothing
    ])
  })

  test("leaves out windows whose every token is prompt", () => {
    // lossFrom 6 of 10: the first window of 5 predicts nothing, in the second tokens 6..9 count
    const rows = packRows([run(0, 10, 6)], { context: 5 })
    expect(rows).toEqual([[{ ids: Int32Array.of(5, 6, 7, 8, 9), lossFrom: 1 }]])
  })

  test("never loses or repeats a window and never overfills a row", () => {
    for (let seed = 0; seed < 50; seed++) {
      const [count, size] = threefry([seed, 5], [0, 0])
      const context = 2 + (size % 40)
      let first = 0
      const documents = Array.from({ length: 1 + (count % 60) }, (_, i) => {
        const length = 2 + (threefry([seed, 6], [i, 0])[0] % (context - 1)) // 2..context: every document is one window
        first += length
        return run(first - length, length)
      })
      const rows = packRows(documents, { context })
      for (const row of rows) expect(countTokens(row)).toBeLessThanOrEqual(context)
      const packed = idsOf(rows).flat()
      expect(packed.sort(([left], [right]) => Number(left) - Number(right))).toEqual(idsOf([documents])[0])
      // best fit never leaves two rows that would fit into one
      const sizes = rows.map(countTokens).sort((left, right) => left - right)
      expect(Number(sizes[0]) + Number(sizes[1] ?? context)).toBeGreaterThan(sizes.length > 1 ? context : 0)
    }
  })

  test("refuses documents that predict nothing", () => {
    for (const documents of [[], [run(0, 1)], [run(0, 0)], [run(0, 5, 5)]])
      expect(() => packRows(documents, { context: 8 })).toThrow(expect.objectContaining({ code: "DATA_EMPTY" }))
  })

  test("packs 20,000 documents into rows of 8,192 tokens quickly and nearly full", () => {
    const documents = Array.from({ length: 20_000 }, (_, i) => run(0, 20 + (threefry([9, 9], [i, 0])[0] % 400)))
    const rows = packRows(documents, { context: 8192 })
    // about 535 rows if all were full; documents of 20 to 419 tokens leave well under 1 % of 8,192 unused
    expect(rows.length).toBeLessThanOrEqual(Math.ceil((1.01 * countTokens(documents)) / 8192))
    expect(countTokens(rows.flat())).toBe(countTokens(documents))
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
