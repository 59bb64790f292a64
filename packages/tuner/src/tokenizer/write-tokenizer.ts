import { copyFile } from "node:fs/promises"
import { join } from "node:path"

import { LaminaError } from "@lamina/protocol/errors"

import { writeAtomically } from "../files/write-atomically.js"
import { noneWhereMissing } from "./tokenizer-files.js"
import type { ModelFiles } from "../weights/model-files.js"

/** What goes with the weights, where the source has it. */
const FILES = [
  ...["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json"],
  "chat_template.jinja",
]

/**
 * Puts a model's tokenizer, special tokens and chat template into another folder as transformers reads them: a
 * transformers folder's files as they are, a GGUF file's as tokenizer.json, tokenizer_config.json and
 * generation_config.json. A model without a tokenizer gets none. FILE_UNWRITABLE, TOKENIZER_MALFORMED,
 * MODEL_UNSUPPORTED.
 */
export async function writeTokenizer(files: ModelFiles, folder: string): Promise<void> {
  if (files.kind === "gguf") return writeMade(files, folder)
  for (const file of FILES)
    await copyFile(join(files.path, file), join(folder, file)).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code !== "ENOENT")
        throw new LaminaError("FILE_UNWRITABLE", `${join(folder, file)}: ${cause.message}`, { cause })
    })
}

async function writeMade(files: ModelFiles, folder: string): Promise<void> {
  const tokenizer = await files.tokenizer().catch(noneWhereMissing)
  if (tokenizer === undefined) return
  const { bosToken, eosToken, eosIds, addBos } = await files.specialTokens()
  const template = await files.chatTemplate()
  const settings = {
    tokenizer_class: "PreTrainedTokenizerFast",
    ...(bosToken === undefined ? {} : { bos_token: bosToken }),
    ...(eosToken === undefined ? {} : { eos_token: eosToken }),
    add_bos_token: addBos,
    clean_up_tokenization_spaces: false,
    ...(template === undefined ? {} : { chat_template: template }),
  }
  const write = (name: string, value: unknown): Promise<void> =>
    writeAtomically(join(folder, name), [Buffer.from(`${JSON.stringify(value, undefined, 2)}\n`)])
  await write("tokenizer.json", tokenizer)
  await write("tokenizer_config.json", settings)
  if (eosIds.length > 0) await write("generation_config.json", { eos_token_id: eosIds })
}
