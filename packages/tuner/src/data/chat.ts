import { LaminaError } from "@lamina/protocol/errors"

import type { ChatMessage, ChatTemplate } from "../tokenizer/chat-template.js"
import type { Document, TextSegment } from "./documents.js"

/**
 * A conversation as documents in which the assistant's messages, and nothing else, are predicted. With a template: the
 * text it renders, cut where each answer begins (where the template's own generation prompt ends) and where it ends,
 * its closing token included. Where a template writes an earlier answer differently once more follows (Qwen3 drops its
 * thinking), each answer becomes a document of its own behind what the model would have been shown. Without one: each
 * message under a line with its role, an empty line between, the end token behind each answer. DATA_MALFORMED when the
 * template refuses the messages or has no place for an answer.
 */
export function chatDocuments(messages: readonly ChatMessage[], template: ChatTemplate | undefined): Document[] {
  if (template === undefined) return [{ segments: plainSegments(messages) }]
  const turns = messages.flatMap(({ role }, index) => {
    if (role !== "assistant") return []
    const before = template.render(messages.slice(0, index), { addGenerationPrompt: true })
    const after = template.render(messages.slice(0, index + 1), { addGenerationPrompt: false })
    if (!after.startsWith(before))
      throw new LaminaError(
        "DATA_MALFORMED",
        `message ${index + 1}: the chat template does not let an answer follow it`,
      )
    return [{ before, after }]
  })
  const whole = template.render(messages, { addGenerationPrompt: false })
  const nested = turns.every(({ after }, i) => (turns[i + 1]?.before ?? whole).startsWith(after))
  if (!nested) return turns.map(({ before, after }) => ({ segments: templateSegments([{ before, after }], after) }))
  return [{ segments: templateSegments(turns, whole) }]
}

function templateSegments(turns: readonly { before: string; after: string }[], whole: string): TextSegment[] {
  const segments: TextSegment[] = []
  let at = 0
  const push = (end: number, predicted: boolean): void => {
    if (end > at) segments.push({ text: whole.slice(at, end), predicted })
    at = Math.max(at, end)
  }
  for (const { before, after } of turns) {
    push(before.length, false)
    push(Math.max(before.length, after.trimEnd().length), true) // the line end behind it is nobody's answer
  }
  push(whole.trimEnd().length, false)
  return segments
}

function plainSegments(messages: readonly ChatMessage[]): TextSegment[] {
  return messages.flatMap(({ role, content }, index) => {
    const title = `${index > 0 ? "\n\n" : ""}${role.charAt(0).toUpperCase()}${role.slice(1)}:\n`
    if (role !== "assistant") return [{ text: `${title}${content}`, predicted: false }]
    return [
      { text: title, predicted: false },
      { text: content, predicted: true, ends: true as const },
    ]
  })
}
