import { readFileSync } from "node:fs"

import { corpusBleu } from "./bleu.js"
import type { BleuScore } from "./bleu.js"
import { exactMatch, normalizeAnswer } from "./exact-match.js"
import { porterStem } from "./porter-stem.js"
import { rougeL } from "./rouge.js"

type Triple = [precision: number, recall: number, f1: number]
interface Vectors {
  readonly stems: Record<string, string>
  readonly rouge: readonly { answer: string; references: string[]; plain: Triple; stemmed: Triple }[]
  readonly bleu: Record<string, { pairs: [string, string[]][]; expected: BleuScore }>
  readonly bleuOfRougePairs: BleuScore
}
const path = new URL("../../../../test/vectors/judge/vectors.json", import.meta.url)
const vectors = JSON.parse(readFileSync(path, "utf8")) as Vectors

/** The same sums in f64 in another order, of at most a few hundred terms: far below this. */
const DIGITS = 10

test("words are stemmed as NLTK's Porter stemmer does", () => {
  expect(Object.keys(vectors.stems).length).toBeGreaterThan(100)
  const got = Object.fromEntries(Object.keys(vectors.stems).map((word) => [word, porterStem(word)]))
  expect(got).toEqual(vectors.stems)
})

test("ROUGE-L is rouge-score's, of the best of several references, with and without stems", () => {
  const differing = vectors.rouge.filter(({ plain, stemmed }) => plain[2] !== stemmed[2])
  expect(differing.length).toBeGreaterThan(0) // else the stemmed half shows nothing
  for (const { answer, references, plain, stemmed } of vectors.rouge)
    for (const [stem, [precision, recall, f1]] of [[false, plain] as const, [true, stemmed] as const]) {
      const got = rougeL(answer, references, { stem })
      expect(got.precision).toBeCloseTo(precision, DIGITS)
      expect(got.recall).toBeCloseTo(recall, DIGITS)
      expect(got.f1).toBeCloseTo(f1, DIGITS)
    }
})

test("BLEU is sacreBLEU's, with several references each, brevity penalty and smoothing", () => {
  const all = vectors.rouge.map(({ answer, references }) => [answer, references] as [string, string[]])
  const cases = [...Object.values(vectors.bleu), { pairs: all, expected: vectors.bleuOfRougePairs }]
  expect(cases.some(({ expected }) => expected.brevityPenalty > 0 && expected.brevityPenalty < 1)).toBe(true)
  for (const { pairs, expected } of cases) {
    const got = corpusBleu(pairs.map(([answer, references]) => ({ answer, references })))
    expect(got.answerWords).toBe(expected.answerWords)
    expect(got.referenceWords).toBe(expected.referenceWords)
    expect(got.brevityPenalty).toBeCloseTo(expected.brevityPenalty, DIGITS)
    expected.precisions.forEach((precision, i) => expect(got.precisions[i]).toBeCloseTo(precision, DIGITS))
    expect(got.score).toBeCloseTo(expected.score, DIGITS)
  }
})

test("BLEU of nothing, or against nothing, is an error", () => {
  expect(() => corpusBleu([])).toThrow(expect.objectContaining({ code: "DATA_EMPTY" }))
  expect(() => corpusBleu([{ answer: "yes", references: [] }])).toThrow(/answer 1: expected at least one reference/)
})

test("texts match apart from case, articles, punctuation and spaces", () => {
  expect(normalizeAnswer(" The  answer, is: an Apple! ")).toBe("answer is apple")
  expect(exactMatch("The Eiffel-Tower.", ["London", "eiffeltower"])).toBe(true)
  expect(exactMatch("Eiffel Tower in Paris", ["Eiffel Tower"])).toBe(false)
  expect(exactMatch("anything", [])).toBe(false)
  expect(normalizeAnswer("the \u00e9an a\u00f1o")).toBe("\u00e9an a\u00f1o") // letters, if not of ASCII
})

test("a GSM8K reference is matched by its final number, the answer's own mark before its last number", () => {
  const reference = ["6 * 3 = <<6*3=18>>18 apples\n#### 1,018"]
  expect(exactMatch("So there are 1018.00 of 2 kinds.\n#### 1018", reference)).toBe(true)
  expect(exactMatch("It is $1,018.", reference)).toBe(true)
  expect(exactMatch("#### 1018 and not 7", reference)).toBe(true)
  expect(exactMatch("1018, or 7", reference)).toBe(false)
  expect(exactMatch("none", reference)).toBe(false)
  expect(exactMatch("it is -0.50 degrees", ["#### -.5"])).toBe(true)
  expect(exactMatch("007.0", ["#### 7"])).toBe(true)
  expect(exactMatch("0", ["#### 0.0"])).toBe(true)
})
