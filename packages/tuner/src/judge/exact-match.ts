/** What GSM8K's solutions end with: `#### 1,234`. */
const FINAL_NUMBER = /####\s*\$?\s*(-?[\d,]*\.?\d+)/g
const NUMBER = /-?\d[\d,]*(?:\.\d+)?|-?\.\d+/g

/**
 * Does the answer equal one of the references? Where a reference ends in GSM8K's `#### number` (Cobbe et al. 2021,
 * arXiv:2110.14168) numbers are compared: the answer's is the one after its last `####`, or else the last it names.
 * Otherwise texts, after SQuAD's normalisation (Rajpurkar et al. 2016, arXiv:1606.05250).
 */
export function exactMatch(answer: string, references: readonly string[]): boolean {
  return references.some((reference) => {
    const expected = markedNumber(reference)
    if (expected !== undefined) return (markedNumber(answer) ?? lastNumber(answer)) === expected
    return normalizeAnswer(answer) === normalizeAnswer(reference)
  })
}

/** Lower case, without punctuation, without the articles a, an and the, single spaces. */
export function normalizeAnswer(text: string): string {
  return text
    .toLowerCase()
    .replace(/[!-/:-@[-`{-~]/g, "")
    .replace(/(?<![\p{L}\p{N}_])(a|an|the)(?![\p{L}\p{N}_])/gu, " ")
    .trim()
    .split(/\s+/)
    .join(" ")
}

function markedNumber(text: string): string | undefined {
  const found = [...text.matchAll(FINAL_NUMBER)].at(-1)?.[1]
  return found === undefined ? undefined : plainNumber(found)
}

function lastNumber(text: string): string | undefined {
  const found = text.match(NUMBER)?.at(-1)
  return found === undefined ? undefined : plainNumber(found)
}

/** `1,234.50` -> `1234.5`. */
function plainNumber(text: string): string {
  const digits = text.replaceAll(",", "")
  const fraction = digits.includes(".") ? digits.replace(/0+$/, "").replace(/\.$/, "") : digits
  return fraction
    .replace(/^-?0*/, (lead) => (lead.startsWith("-") ? "-" : ""))
    .replace(/^-?(?=\.|$)/, (sign) => `${sign}0`)
}
