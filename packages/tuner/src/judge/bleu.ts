import { LaminaError } from "@lamina/protocol/errors"

/** An answer and what it is measured against, at least one reference. */
export interface JudgedAnswer {
  readonly answer: string
  readonly references: readonly string[]
}

export interface BleuScore {
  /** 0 to 100. */
  readonly score: number
  /** Of 1 to 4 words, in percent, smoothed where no n-gram matches. */
  readonly precisions: readonly number[]
  readonly brevityPenalty: number
  /** Words of all answers, and of the references closest to them in length. */
  readonly answerWords: number
  readonly referenceWords: number
}

const ORDERS = [1, 2, 3, 4] as const

/**
 * Corpus BLEU-4 (Papineni et al. 2002, equations 2-4): geometric mean of the clipped n-gram precisions times the
 * brevity penalty, counts summed over all answers; each answer may have its own number of references. Words are those
 * of mteval-v13a, case counts, an order without a match is smoothed exponentially: the defaults, and the figures, of
 * sacreBLEU (Post 2018, arXiv:1804.08771). DATA_EMPTY for no answers or an answer without reference.
 */
export function corpusBleu(answers: readonly JudgedAnswer[]): BleuScore {
  if (answers.length === 0) throw new LaminaError("DATA_EMPTY", "BLEU: expected at least one answer, got none")
  const matched = ORDERS.map(() => 0)
  const total = ORDERS.map(() => 0)
  let answerWords = 0
  let referenceWords = 0
  for (const [index, { answer, references }] of answers.entries()) {
    if (references.length === 0)
      throw new LaminaError("DATA_EMPTY", `BLEU: answer ${index + 1}: expected at least one reference, got none`)
    const words = tokenize13a(answer)
    const expected = references.map(tokenize13a)
    answerWords += words.length
    referenceWords += closestLength(words.length, expected)
    for (const [slot, order] of ORDERS.entries()) {
      const most = mostOften(expected, order)
      for (const [gram, count] of countGrams(words, order)) {
        total[slot] = (total[slot] as number) + count
        matched[slot] = (matched[slot] as number) + Math.min(count, most.get(gram) ?? 0)
      }
    }
  }
  const brevityPenalty =
    answerWords >= referenceWords ? 1 : answerWords > 0 ? Math.exp(1 - referenceWords / answerWords) : 0
  const precisions = smoothedPrecisions(matched, total)
  const logs = precisions.reduce((sum, precision) => sum + Math.log(precision), 0)
  return {
    score: brevityPenalty * Math.exp(logs / ORDERS.length),
    precisions,
    brevityPenalty,
    answerWords,
    referenceWords,
  }
}

/** NIST smoothing: the k-th order without a match counts as half of the one before, 1/2^k of an n-gram. */
function smoothedPrecisions(matched: readonly number[], total: readonly number[]): number[] {
  if (matched.every((count) => count === 0)) return ORDERS.map(() => 0)
  let divisor = 1
  return total.map((count, slot) => {
    if (count === 0) return 0
    if (matched[slot] === 0) divisor *= 2
    return (100 * (matched[slot] || 1 / divisor)) / count
  })
}

/** The reference length closest to the answer's, the shorter of two equally close. */
function closestLength(length: number, references: readonly (readonly string[])[]): number {
  const lengths = references.map((words) => words.length)
  return lengths.reduce((best, next) => {
    const [off, offNext] = [Math.abs(best - length), Math.abs(next - length)]
    return offNext < off || (offNext === off && next < best) ? next : best
  })
}

function mostOften(references: readonly (readonly string[])[], order: number): Map<string, number> {
  const most = new Map<string, number>()
  for (const words of references)
    for (const [gram, count] of countGrams(words, order)) most.set(gram, Math.max(count, most.get(gram) ?? 0))
  return most
}

function countGrams(words: readonly string[], order: number): Map<string, number> {
  const counts = new Map<string, number>()
  for (let i = 0; i + order <= words.length; i++) {
    const gram = words.slice(i, i + order).join(" ") // words hold no space
    counts.set(gram, (counts.get(gram) ?? 0) + 1)
  }
  return counts
}

/** mteval-v13a's words: marks apart, full stop and comma kept inside numbers, a few entities undone. */
function tokenize13a(text: string): string[] {
  const line = text
    .trimEnd()
    .replaceAll("<skipped>", "")
    .replaceAll("-\n", "")
    .replaceAll("\n", " ")
    .replaceAll("&quot;", '"')
    .replaceAll("&amp;", "&")
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
  const spaced = ` ${line} `
    .replace(/([{-~[-` -&(-+:-@/])/gu, " $1 ")
    .replace(/([^0-9])([.,])/gu, "$1 $2 ")
    .replace(/([.,])([^0-9])/gu, " $1 $2")
    .replace(/([0-9])(-)/gu, "$1 $2 ")
  return spaced.split(/\p{White_Space}+/u).filter((word) => word !== "")
}
