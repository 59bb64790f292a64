import { loadTokenizer } from "../tokenizer/load-tokenizer.js"
import type { Tokenizer } from "../tokenizer/tokenizer.js"
import { openModelFiles } from "../weights/model-files.js"

/** How a model reads a text, and which tokens end its answers. */
export interface Reader {
  readonly tokenizer: Tokenizer
  readonly endIds: ReadonlySet<number>
  /** Ids of a prompt, after the token a text begins with where the model wants one and the prompt has it not. */
  read(prompt: string): Int32Array
}

/** Of a model's folder or GGUF file. Codes as loadTokenizer. */
export async function openReader(path: string): Promise<Reader> {
  const tokenizer = await loadTokenizer(path)
  const files = await openModelFiles(path)
  try {
    const { addBos, bosToken = "", eosIds } = await files.specialTokens()
    const begin = addBos ? tokenizer.encode(bosToken) : new Int32Array(0)
    return {
      tokenizer,
      endIds: new Set(eosIds),
      read: (prompt) => {
        const ids = tokenizer.encode(prompt)
        return begin.every((id, i) => ids[i] === id) ? ids : Int32Array.of(...begin, ...ids)
      },
    }
  } finally {
    await files.close()
  }
}
