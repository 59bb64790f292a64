import type { Tokenizer } from "../tokenizer/tokenizer.js"

/** Tokens of the prompt that are decoded along: how a token reads can depend on what stands before it. */
const LEAD_TOKENS = 8
/** No character takes more tokens: one per byte of UTF-8 and a lead. What is not whole by then is not UTF-8. */
const CHARACTER_TOKENS = 8
const REPLACEMENT = "\ufffd"

/** Turns tokens into text as they come. */
export interface TextStream {
  /** Text that is certain now: whole characters, and nothing that may yet turn out to begin a stop string. */
  push(id: number): string
  /** What was held back; after it nothing may be pushed. */
  end(): string
  /** A stop string has come. It and what follows it are no part of the text. */
  readonly stopped: boolean
}

/** The text after `prompt` (its ids), until one of the `stop` strings. */
export function createTextStream(
  tokenizer: Tokenizer,
  { prompt, stop }: { readonly prompt: Int32Array; readonly stop: readonly string[] },
): TextStream {
  const characters = createDecoder(tokenizer, prompt.subarray(-LEAD_TOKENS))
  let held = ""
  let stopped = false
  const release = (text: string): string => {
    held += text
    const found = stop.map((word) => held.indexOf(word)).filter((index) => index >= 0)
    stopped = found.length > 0
    const until = stopped ? Math.min(...found) : held.length - longestBeginning(held, stop)
    const certain = held.slice(0, until)
    held = stopped ? "" : held.slice(until)
    return certain
  }
  return {
    get stopped() {
      return stopped
    },
    push: (id) => release(characters.push(id)),
    end: () => {
      const rest = stopped ? "" : release(characters.end())
      return rest + held
    },
  }
}

/**
 * Ids are decoded with those before them that are already out, and the difference is the new text; it waits while it
 * ends in the replacement character, which is how the beginning of a character decodes.
 */
function createDecoder(tokenizer: Tokenizer, lead: Int32Array): { push(id: number): string; end(): string } {
  let before = Array.from(lead)
  let pending: number[] = []
  const added = (): string => {
    const known = tokenizer.decode(before)
    return tokenizer.decode([...before, ...pending]).slice(known.length)
  }
  const take = (text: string): string => {
    if (pending.length > 0 && text !== "") before = pending
    else before = [...before, ...pending] // a token without text: what follows is decoded after it all the same
    pending = []
    return text
  }
  return {
    push: (id) => {
      pending.push(id)
      const text = added()
      return text.endsWith(REPLACEMENT) && pending.length < CHARACTER_TOKENS ? "" : take(text)
    },
    end: () => take(added()),
  }
}

/** Length of the longest end of `text` that one of `words` begins with. */
function longestBeginning(text: string, words: readonly string[]): number {
  let longest = 0
  for (const word of words)
    for (let length = Math.min(word.length - 1, text.length); length > longest; length--)
      if (text.endsWith(word.slice(0, length))) longest = length
  return longest
}
