import { LaminaError } from "@lamina/protocol/errors"

import type { DataSource } from "../api.js"
import type { ChatTemplate } from "../tokenizer/chat-template.js"
import { chatDocuments } from "./chat.js"
import type { RowContent } from "./fields.js"
import { isHeldOut } from "./held-out.js"
import { readRows } from "./read-rows.js"
import type { SourceRow } from "./read-rows.js"

/** A stretch of a document. */
export interface TextSegment {
  readonly text: string
  /** It is what a model is to learn to say: an answer, or text without a prompt. */
  readonly predicted: boolean
  /** The tokenizer's end token follows, where it names one. */
  readonly ends?: true
}

/** One document: its segments one after another, nothing between them. */
export interface Document {
  readonly segments: readonly TextSegment[]
  /** A long text in parts: the next document goes on where this one stops. */
  readonly continues?: true
}

/** How conversations become text. */
export interface ReadOptions {
  /** The model's chat template, asked for at the first conversation. Default: none. */
  readonly template?: () => Promise<ChatTemplate | undefined>
  /** Something the user should know; each note once. */
  readonly onNote?: (note: string) => void
}

const PLAIN_NOTE =
  'the model has no chat template: conversations are written plainly, "User:" and "Assistant:" on lines of their own'

/**
 * The documents of a source one by one, files in the order given, rows in the order written; empty ones are left out.
 * Files are UTF-8, with or without a byte order mark, and read as streams: memory does not grow with them. `text`: a
 * file is one document, or one per part between `separator`s; a long one comes in parts. `jsonl`: one object per line,
 * empty lines apart. `csv`: RFC 4180, the first record names the columns. `parquet`: one row group in memory at a time.
 * What a row may be: see `contentOf`. DATA_MALFORMED with file, line (Parquet: row) and field; DATA_EMPTY when nothing
 * is left; FILE_UNREADABLE; MODEL_UNSUPPORTED when `chatTemplate` is asked of a model without one.
 */
export async function* readDocuments(source: DataSource, options: ReadOptions = {}): AsyncGenerator<Document> {
  const forms = chatForms(source, options)
  let found = false
  let index = -1
  let goesOn = false
  for await (const row of readRows(source)) {
    if (!goesOn) index += 1
    goesOn = row.content.kind === "text" && row.content.continues === true
    if (source.part && isHeldOut(index, source.part) !== source.part.heldOut) continue
    for (const document of await documentsOf(row, forms)) {
      if (document.segments.every(({ text }) => text === "") && !goesOn) continue
      found = true
      yield document
    }
  }
  if (!found) throw emptyError(source)
}

/** All of `readDocuments` at once, for data that fits into memory. */
export async function loadDocuments(source: DataSource, options: ReadOptions = {}): Promise<Document[]> {
  const documents: Document[] = []
  for await (const document of readDocuments(source, options)) documents.push(document)
  return documents
}

interface ChatForms {
  /** Prompts and responses are written as conversations too. */
  readonly pairsToo: boolean
  /** The template to use; undefined for the plain form. */
  readonly template: () => Promise<ChatTemplate | undefined>
}

function chatForms(source: DataSource, options: ReadOptions): ChatForms {
  const wanted = source.kind === "documents" || source.kind === "text" ? undefined : source.chatTemplate
  let asked: Promise<ChatTemplate | undefined> | undefined
  const find = async (): Promise<ChatTemplate | undefined> => {
    const template = wanted === false ? undefined : await options.template?.()
    if (template === undefined && wanted === true)
      throw new LaminaError(
        "MODEL_UNSUPPORTED",
        "chatTemplate: expected a model with a chat template, got one without",
        {
          hint: "leave the option out: prompts and responses are then put together as they are",
        },
      )
    if (template === undefined && wanted === undefined) options.onNote?.(PLAIN_NOTE)
    return template
  }
  return { pairsToo: wanted === true, template: () => (asked ??= find()) }
}

async function documentsOf({ content, where }: SourceRow, forms: ChatForms): Promise<readonly Document[]> {
  if (content.kind === "text") {
    const { text, continues } = content
    return [{ segments: [{ text, predicted: true }], ...(continues ? { continues } : {}) }]
  }
  if (content.kind === "pair" && !forms.pairsToo) {
    const { prompt, response } = content
    if (prompt === "" && response === "") return []
    const answer = { text: response, predicted: true, ends: true } as const
    return [{ segments: [{ text: prompt, predicted: false }, answer] }]
  }
  const template = await forms.template()
  try {
    return chatDocuments(messagesOf(content), template)
  } catch (error) {
    if (!(error instanceof LaminaError)) throw error
    throw new LaminaError(error.code, `${where}: ${error.message}`)
  }
}

function messagesOf(content: Exclude<RowContent, { kind: "text" }>): Parameters<typeof chatDocuments>[0] {
  if (content.kind === "chat") return content.messages
  return [
    { role: "user", content: content.prompt.trim() },
    { role: "assistant", content: content.response.trim() },
  ]
}

function emptyError(source: DataSource): LaminaError {
  const files = source.kind === "documents" ? "the documents given" : source.paths.join(", ") || "no files"
  const which = source.part ? ` in its ${source.part.heldOut ? "held-out" : "training"} part` : ""
  return new LaminaError("DATA_EMPTY", `${files}: expected at least one document that is not empty${which}, got none`)
}
