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
/** That day's beginning, a Friday, by strftime's letters (English names); others stay as they are written. */
const DATE_PARTS: Readonly<Record<string, string>> = {
  ...{ Y: "2024", y: "24", m: "07", b: "Jul", B: "July", d: "26", e: "26", j: "208", a: "Fri", A: "Friday" },
  ...{ H: "00", I: "12", M: "00", S: "00", p: "AM", F: "2024-07-26", T: "00:00:00", "%": "%" },
}
/** Puts our clock in place of the library's, which cannot be given; the line end belongs to the block. */
const PROLOGUE = "{% set strftime_now = fixed_date %}\n"
/** Fifty times the longest template we know of. */
const SOURCE_LENGTH_MAX = 2 ** 20

/**
 * A Jinja chat template as tokenizer_config.json, chat_template.jinja or a GGUF carries it. Today is always 26
 * July 2024, the day that Llama 3 templates name themselves where they are told none, at midnight: the same data must
 * give the same text every day. TOKENIZER_MALFORMED when it does not parse.
 */
export function chatTemplate(
  source: string,
  special: { readonly bosToken?: string; readonly eosToken?: string } = {},
): ChatTemplate {
  const template = parse(source)
  const tokens = { bos_token: special.bosToken ?? "", eos_token: special.eosToken ?? "" }
  const variables = { ...tokens, date_string: DATE, fixed_date: formatDate }
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

function formatDate(format: string): string {
  return format.replace(/%(.)/g, (written, letter: string) => DATE_PARTS[letter] ?? written)
}

function parse(source: string): Template {
  if (source.length > SOURCE_LENGTH_MAX)
    throw new LaminaError(
      "TOKENIZER_MALFORMED",
      `chat template: expected at most ${SOURCE_LENGTH_MAX} characters, got ${source.length}`,
    )
  try {
    return new Template(PROLOGUE + source)
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
