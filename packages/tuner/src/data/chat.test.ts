import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { chatTemplate } from "../tokenizer/chat-template.js"
import { chatDocuments } from "./chat.js"
import { loadDocuments } from "./documents.js"

/** ChatML, as SmolLM2 and Qwen have it. */
const CHATML = chatTemplate(
  "{% for m in messages %}{{'<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n'}}{% endfor %}" +
    "{% if add_generation_prompt %}{{'<|im_start|>assistant\n'}}{% endif %}",
)
/** Writes what the last answer thought, and drops it once more follows, as Qwen3 does. */
const THINKING = chatTemplate(
  "{% for m in messages %}{{'[' + m.role + ']'}}{% if m.role == 'assistant' and loop.last %}{{'(hm)'}}{% endif %}" +
    "{{m.content}}{% endfor %}{% if add_generation_prompt %}{{'[assistant]'}}{% endif %}",
)
const talk = [
  { role: "system", content: "Be brief." },
  { role: "user", content: "1+1?" },
  { role: "assistant", content: "2" },
  { role: "user", content: "2+2?" },
  { role: "assistant", content: "4" },
]

describe("a conversation", () => {
  test("predicts every answer with its closing token and nothing else", () => {
    expect(chatDocuments(talk, CHATML)).toEqual([
      {
        segments: [
          {
            text: "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n",
            predicted: false,
          },
          { text: "2<|im_end|>", predicted: true },
          { text: "\n<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n", predicted: false },
          { text: "4<|im_end|>", predicted: true },
        ],
      },
    ])
  })

  test("put together is what the template writes, but for the line end after the last answer", () => {
    const whole = CHATML.render(talk, { addGenerationPrompt: false })
    const [document] = chatDocuments(talk, CHATML)
    expect(document?.segments.map(({ text }) => text).join("")).toBe(whole.trimEnd())
  })

  test("whose template rewrites earlier answers becomes a document for each answer", () => {
    const asked = "[system]Be brief.[user]1+1?[assistant]"
    expect(chatDocuments(talk, THINKING).map(({ segments }) => segments.map(({ text }) => text))).toEqual([
      [asked, "(hm)2"],
      [`${asked}2[user]2+2?[assistant]`, "(hm)4"],
    ])
  })

  test("without a template is written plainly, each answer ended", () => {
    expect(chatDocuments(talk.slice(1, 3), undefined)).toEqual([
      {
        segments: [
          { text: "User:\n1+1?", predicted: false },
          { text: "\n\nAssistant:\n", predicted: false },
          { text: "2", predicted: true, ends: true },
        ],
      },
    ])
  })

  test("that a template has no place for an answer in is refused", () => {
    const silent = chatTemplate("{{ messages | length }}")
    expect(() => chatDocuments(talk, silent)).toThrow(expect.objectContaining({ code: "DATA_MALFORMED" }))
  })
})

describe("a file of conversations", () => {
  let folder = ""
  beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), "lamina-chat-"))))
  afterEach(() => rm(folder, { recursive: true }))
  const write = async (...rows: object[]): Promise<{ kind: "jsonl"; paths: string[] }> => {
    const path = join(folder, "a.jsonl")
    await writeFile(path, rows.map((row) => JSON.stringify(row)).join("\n"))
    return { kind: "jsonl", paths: [path] }
  }
  const messages = talk.slice(1, 3)
  const template = (): Promise<typeof CHATML> => Promise.resolve(CHATML)

  test("may call things as ShareGPT does, and give content as text parts", async () => {
    const conversations = [
      { from: "human", value: "1+1?" },
      { from: "gpt", value: "2" },
    ]
    const parts = [messages[0], { role: "assistant", content: [{ type: "text", text: "2" }] }]
    const [first, second, third] = await loadDocuments(
      await write({ messages }, { conversations }, { messages: parts }),
      { template },
    )
    expect(second).toEqual(first)
    expect(third).toEqual(first)
    expect(first?.segments.at(-1)).toEqual({ text: "2<|im_end|>", predicted: true })
  })

  test("says once that the model has no template", async () => {
    const notes: string[] = []
    const source = await write({ messages }, { messages })
    await loadDocuments(source, { template: () => Promise.resolve(undefined), onNote: (note) => notes.push(note) })
    expect(notes).toEqual([expect.stringContaining("no chat template")])
    await loadDocuments({ ...source, chatTemplate: false }, { template, onNote: (note) => notes.push(note) })
    expect(notes).toHaveLength(1)
  })

  test("prompts and responses become conversations where that is asked for, and only there", async () => {
    const source = await write({ prompt: "1+1?\n", response: " 2" })
    expect((await loadDocuments(source, { template }))[0]?.segments[0]?.text).toBe("1+1?\n")
    expect(await loadDocuments({ ...source, chatTemplate: true }, { template })).toEqual(
      chatDocuments(messages, CHATML),
    )
    await expect(loadDocuments({ ...source, chatTemplate: true })).rejects.toMatchObject({ code: "MODEL_UNSUPPORTED" })
  })

  const BAD: [string, object, RegExp][] = [
    ["no list", { messages: "x" }, /a\.jsonl:1: field "messages": expected a list of messages, got string$/],
    ["no assistant", { messages: [talk[1]] }, /:1: field "messages": expected at least one message of the assistant/],
    ["a picture", { messages: [{ role: "user", content: [{ type: "image" }] }] }, /:1: field "messages"\[0\]: /],
    ["a message without a role", { conversations: [{ value: "x" }] }, /:1: field "conversations"\[0\]: expected role/],
  ]
  test.each(BAD)("with %s is refused with file, line and field", async (_, row, message) => {
    await expect(loadDocuments(await write(row))).rejects.toMatchObject({
      code: "DATA_MALFORMED",
      message: expect.stringMatching(message) as string,
    })
  })

  test("a template's refusal names the line", async () => {
    const strict = chatTemplate("{{ raise_exception('no system message, please') }}")
    const refused = loadDocuments(await write({ messages }), { template: () => Promise.resolve(strict) })
    await expect(refused).rejects.toMatchObject({
      message: expect.stringMatching(/a\.jsonl:1: .*: no system message, please$/) as string,
    })
  })
})
