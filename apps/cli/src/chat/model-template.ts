import { LaminaError } from "@lamina/protocol/errors"
import { loadChatTemplate } from "@lamina/tuner"
import type { ChatTemplate } from "@lamina/tuner"

/** `loadChatTemplate`, and MODEL_UNSUPPORTED where the model has none. */
export async function modelTemplate(path: string): Promise<ChatTemplate> {
  const template = await loadChatTemplate(path)
  if (template !== undefined) return template
  throw new LaminaError("MODEL_UNSUPPORTED", `${path}: expected a chat template in the model's files, found none`, {
    hint: "lamina generate without --chat continues any text",
  })
}

/** How a prompt is put to the model: as it stands, or with `chat` as a user's message. Codes of modelTemplate. */
export async function promptWriter(
  path: string,
  { chat, system }: { readonly chat?: boolean; readonly system?: string },
): Promise<(prompt: string) => string> {
  if (!chat && system !== undefined) throw new LaminaError("USAGE", "--system: goes with --chat")
  if (!chat) return (prompt) => prompt
  const template = await modelTemplate(path)
  const first = system === undefined ? [] : [{ role: "system", content: system }]
  return (prompt) => template.render([...first, { role: "user", content: prompt }], { addGenerationPrompt: true })
}
