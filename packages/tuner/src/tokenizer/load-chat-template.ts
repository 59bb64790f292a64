import { openModelFiles } from "../weights/model-files.js"
import { chatTemplate } from "./chat-template.js"
import type { ChatTemplate } from "./chat-template.js"

/**
 * The chat template of a model's folder or GGUF file, undefined where it has none. TOKENIZER_MALFORMED, MODEL_CONFIG,
 * FILE_UNREADABLE, WEIGHTS_MALFORMED.
 */
export async function loadChatTemplate(path: string): Promise<ChatTemplate | undefined> {
  const files = await openModelFiles(path)
  try {
    const source = await files.chatTemplate()
    return source === undefined ? undefined : chatTemplate(source, await files.specialTokens())
  } finally {
    await files.close()
  }
}
