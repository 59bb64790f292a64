import type { Base } from "../api.js"
import { loadTokenizerOf } from "../tokenizer/load-tokenizer.js"
import type { Tokenizer } from "../tokenizer/tokenizer.js"
import { openModelFiles } from "../weights/model-files.js"

/** How a model reads a text, and which tokens end its answers. */
export interface Reader {
  readonly tokenizer: Tokenizer
  readonly endIds: ReadonlySet<number>
  /** Ids of a prompt, after the token a text begins with where the model wants one and the prompt has it not. */
  read(prompt: string): Int32Array
}

/** Codes as loadTokenizerOf. */
export async function openReader(base: Pick<Base, "folder" | "config">): Promise<Reader> {
  const tokenizer = await loadTokenizerOf(base)
  const files = await openModelFiles(base.folder)
  try {
    const { addBos, bosToken = "", eosIds } = await files.specialTokens()
    const begin = addBos ? tokenizer.encode(bosToken) : new Int32Array(0)
    return {
      tokenizer,
      endIds: new Set(eosIds),
      read: (prompt) => {
        const ids = tokenizer.encode(prompt)
        return begin.every((id, i) => ids[i] === id) ? ids : joined(begin, ids)
      },
    }
  } finally {
    await files.close()
  }
}

function joined(begin: Int32Array, ids: Int32Array): Int32Array {
  const all = new Int32Array(begin.length + ids.length)
  all.set(begin)
  all.set(ids, begin.length)
  return all
}
