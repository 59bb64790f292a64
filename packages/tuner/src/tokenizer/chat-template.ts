import { Template } from "@huggingface/jinja"
import { LaminaError } from "@lamina/protocol/errors"

/** One turn of a conversation, in transformers' words. */
export interface ChatMessage {
  /** `system`, `user`, `assistant`, or what else the model's template knows. */
  readonly role: string
  readonly content: string
}

/** A model's way to write a conversation as text. */
export interface ChatTemplate {
  /**
   * The conversation as the model was trained on it, special tokens written out. With `addGenerationPrompt` it ends
   * where the model's answer begins. DATA_MALFORMED when the template refuses the messages.
   */
  render(messages: readonly ChatMessage[], options: { readonly addGenerationPrompt: boolean }): string
}

/** What Llama 3 templates say where the caller sets no date and there is no clock. */
const DATE = "26 Jul 2024"
/** Fifty times the longest template we know of. */
const SOURCE_LENGTH_MAX = 2 ** 20

/**
 * A Jinja chat template as tokenizer_config.json, chat_template.jinja or a GGUF carries it. The date that Llama 3
 * templates write is always their own default: the same data must give the same text every day. TOKENIZER_MALFORMED
 * when it does not parse.
 */
export function chatTemplate(
  source: string,
  special: { readonly bosToken?: string; readonly eosToken?: string } = {},
): ChatTemplate {
  const template = parse(source)
  const variables = { bos_token: special.bosToken ?? "", eos_token: special.eosToken ?? "", date_string: DATE }
  return {
    render(messages, { addGenerationPrompt }) {
      const given = messages.map(({ role, content }) => ({ role, content }))
      try {
        return template.render({ messages: given, add_generation_prompt: addGenerationPrompt, ...variables })
      } catch (cause) {
        throw new LaminaError("DATA_MALFORMED", `the chat template refuses the messages${reason(source, cause)}`)
      }
    },
  }
}

function parse(source: string): Template {
  if (source.length > SOURCE_LENGTH_MAX)
    throw new LaminaError(
      "TOKENIZER_MALFORMED",
      `chat template: expected at most ${SOURCE_LENGTH_MAX} characters, got ${source.length}`,
    )
  try {
    return new Template(source)
  } catch (cause) {
    const message = (cause as Error).message.slice(0, 200)
    throw new LaminaError("TOKENIZER_MALFORMED", `chat template: expected Jinja, ${message}`, { cause })
  }
}

/** What the template itself says; nothing that may quote the messages, which stay on this machine. */
function reason(source: string, cause: unknown): string {
  const { message } = cause as Error
  return message !== "" && source.includes(message) ? `: ${message.slice(0, 200)}` : ""
}
