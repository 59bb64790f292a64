/** A suffix, what takes its place, and the condition on what is left before it; none: always. */
type Rule = readonly [suffix: string, replacement: string, condition?: (stem: string) => boolean]

/** Words the rules get wrong, with their stems (the table of NLTK). */
const IRREGULAR: ReadonlyMap<string, string> = new Map(
  Object.entries({
    ...{ sky: "sky", skies: "sky", dying: "die", lying: "lie", tying: "tie", news: "news", inning: "inning" },
    ...{ innings: "inning", outing: "outing", outings: "outing", canning: "canning", cannings: "canning" },
    ...{ howe: "howe", proceed: "proceed", exceed: "exceed", succeed: "succeed" },
  }),
)

/**
 * Stem of a lower-case word (Porter 1980, "An algorithm for suffix stripping"), with the changes NLTK made and ROUGE
 * is computed with: short words and a table of irregular ones are left alone, `flies` and `dies` differ, y becomes i
 * after a consonant only.
 */
export function porterStem(word: string): string {
  const irregular = IRREGULAR.get(word)
  if (irregular !== undefined) return irregular
  if (word.length <= 2) return word
  const inflected = yToI(pastAndParticiple(plural(word)))
  return finalE(replace(replace(derived(inflected), STEP_3), STEP_4))
}

function plural(word: string): string {
  if (word.length === 4 && word.endsWith("ies")) return word.slice(0, -1)
  return replace(word, [
    ["sses", "ss"],
    ["ies", "i"],
    ["ss", "ss"],
    ["s", ""],
  ])
}

function pastAndParticiple(word: string): string {
  if (word.endsWith("ied")) return word.length === 4 ? word.slice(0, -1) : word.slice(0, -2)
  if (word.endsWith("eed")) return measure(word.slice(0, -3)) > 0 ? word.slice(0, -1) : word
  const suffix = ["ed", "ing"].find((end) => word.endsWith(end) && hasVowel(word.slice(0, -end.length)))
  if (suffix === undefined) return word
  const stem = word.slice(0, -suffix.length)
  if (/(at|bl|iz)$/.test(stem)) return `${stem}e`
  if (endsInDoubleConsonant(stem)) return /[lsz]$/.test(stem) ? stem : stem.slice(0, -1)
  return measure(stem) === 1 && endsConsonantVowelConsonant(stem) ? `${stem}e` : stem
}

function yToI(word: string): string {
  return replace(word, [["y", "i", (stem) => stem.length > 1 && consonants(stem).at(-1) === true]])
}

function derived(word: string): string {
  if (word.endsWith("alli") && measure(word.slice(0, -4)) > 0) return derived(word.slice(0, -2))
  return replace(word, STEP_2)
}

function finalE(word: string): string {
  const stem = word.slice(0, -1)
  if (word.endsWith("e")) {
    const size = measure(stem)
    return size > 1 || (size === 1 && !endsConsonantVowelConsonant(stem)) ? doubleL(stem) : word
  }
  return doubleL(word)
}

function doubleL(word: string): string {
  return word.endsWith("ll") && measure(word.slice(0, -1)) > 1 ? word.slice(0, -1) : word
}

const positive = (stem: string): boolean => measure(stem) > 0
const aboveOne = (stem: string): boolean => measure(stem) > 1

const STEP_2: readonly Rule[] = [
  ["ational", "ate", positive],
  ["tional", "tion", positive],
  ["enci", "ence", positive],
  ["anci", "ance", positive],
  ["izer", "ize", positive],
  ["bli", "ble", positive],
  ["alli", "al", positive],
  ["entli", "ent", positive],
  ["eli", "e", positive],
  ["ousli", "ous", positive],
  ["ization", "ize", positive],
  ["ation", "ate", positive],
  ["ator", "ate", positive],
  ["alism", "al", positive],
  ["iveness", "ive", positive],
  ["fulness", "ful", positive],
  ["ousness", "ous", positive],
  ["aliti", "al", positive],
  ["iviti", "ive", positive],
  ["biliti", "ble", positive],
  ["fulli", "ful", positive],
  ["logi", "log", (stem) => positive(`${stem}l`)],
]

const STEP_3: readonly Rule[] = [
  ["icate", "ic", positive],
  ["ative", "", positive],
  ["alize", "al", positive],
  ["iciti", "ic", positive],
  ["ical", "ic", positive],
  ["ful", "", positive],
  ["ness", "", positive],
]

const STEP_4: readonly Rule[] = [
  ...["al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent"].map((suffix): Rule => [
    suffix,
    "",
    aboveOne,
  ]),
  ["ion", "", (stem) => aboveOne(stem) && /[st]$/.test(stem)],
  ...["ou", "ism", "ate", "iti", "ous", "ive", "ize"].map((suffix): Rule => [suffix, "", aboveOne]),
]

/** The first rule whose suffix is there decides, also when its condition fails. */
function replace(word: string, rules: readonly Rule[]): string {
  const rule = rules.find(([suffix]) => word.endsWith(suffix))
  if (rule === undefined) return word
  const [suffix, replacement, condition] = rule
  const stem = word.slice(0, word.length - suffix.length)
  return condition === undefined || condition(stem) ? stem + replacement : word
}

/** Per letter: is it a consonant; y is one at the start and after a vowel. */
function consonants(word: string): boolean[] {
  const flags: boolean[] = []
  for (const letter of word) {
    if ("aeiou".includes(letter)) flags.push(false)
    else flags.push(letter === "y" ? !(flags.at(-1) ?? false) : true)
  }
  return flags
}

/** Porter's m: how often a consonant follows a vowel. */
function measure(stem: string): number {
  return consonants(stem).filter((consonant, i, flags) => consonant && flags[i - 1] === false).length
}

function hasVowel(stem: string): boolean {
  return consonants(stem).includes(false)
}

function endsInDoubleConsonant(word: string): boolean {
  return word.length >= 2 && word.at(-1) === word.at(-2) && consonants(word).at(-1) === true
}

/** ... where the last is not w, x or y; a vowel and a consonant alone count too. */
function endsConsonantVowelConsonant(word: string): boolean {
  const [third, second, last] = [consonants(word).at(-3), consonants(word).at(-2), consonants(word).at(-1)]
  if (second !== false || last !== true) return false
  return word.length === 2 || (third === true && !/[wxy]$/.test(word))
}
