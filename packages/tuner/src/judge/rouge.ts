import { porterStem } from "./porter-stem.js"

/** Each 0 to 1. */
export interface RougeScore {
  readonly precision: number
  readonly recall: number
  readonly f1: number
}

/**
 * ROUGE-L of one answer: the longest common subsequence of words over the answer's length (precision) and over the
 * reference's (recall), F1 their harmonic mean (Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries",
 * section 3.1, with equal weights). Of several references the one with the best F1 counts. Words are runs of a-z and
 * 0-9 of the lower-cased text; `stem`: words of more than three letters are stemmed. The figures of Python's
 * rouge-score.
 */
export function rougeL(
  answer: string,
  references: readonly string[],
  options: { readonly stem?: boolean } = {},
): RougeScore {
  const words = rougeWords(answer, options.stem ?? false)
  let best: RougeScore = { precision: 0, recall: 0, f1: 0 }
  for (const reference of references) {
    const score = overlap(words, rougeWords(reference, options.stem ?? false))
    if (score.f1 > best.f1) best = score
  }
  return best
}

function rougeWords(text: string, stem: boolean): string[] {
  const words = text.toLowerCase().match(/[a-z0-9]+/g) ?? []
  return stem ? words.map((word) => (word.length > 3 ? porterStem(word) : word)) : words
}

function overlap(answer: readonly string[], reference: readonly string[]): RougeScore {
  const common = commonSubsequence(answer, reference)
  if (common === 0) return { precision: 0, recall: 0, f1: 0 }
  const precision = common / answer.length
  const recall = common / reference.length
  return { precision, recall, f1: (2 * precision * recall) / (precision + recall) }
}

/** Length of the longest common subsequence, two rows of the table at a time. */
function commonSubsequence(left: readonly string[], right: readonly string[]): number {
  let above = new Uint32Array(right.length + 1)
  let row = new Uint32Array(right.length + 1)
  for (const word of left) {
    for (let j = 1; j <= right.length; j++)
      row[j] = right[j - 1] === word ? (above[j - 1] as number) + 1 : Math.max(above[j] as number, row[j - 1] as number)
    ;[above, row] = [row, above]
  }
  return above[right.length] as number
}
