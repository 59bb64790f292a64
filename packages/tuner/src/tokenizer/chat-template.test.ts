import { chatTemplate } from "./chat-template.js"

/** ChatML as SmolLM2-Instruct has it, its default system message left out. */
const CHATML =
  "{% for message in messages %}" +
  "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"

const asked = [{ role: "user", content: "hi" }]

test("a conversation is written as its template says, with or without the start of an answer", () => {
  const template = chatTemplate(CHATML)
  expect(template.render(asked, { addGenerationPrompt: false })).toBe("<|im_start|>user\nhi<|im_end|>\n")
  expect(template.render(asked, { addGenerationPrompt: true })).toBe(
    "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n",
  )
})

test("templates use the model's own special tokens", () => {
  const template = chatTemplate("{{ bos_token }}[INST] {{ messages[0].content | trim }} [/INST]{{ eos_token }}", {
    bosToken: "<s>",
    eosToken: "</s>",
  })
  expect(template.render(asked, { addGenerationPrompt: false })).toBe("<s>[INST] hi [/INST]</s>")
})

test("today is the same day every day", () => {
  const dated = chatTemplate("{{ strftime_now('%Y-%m-%d, %A %d %B %H:%M 100%% %q') }} {{ date_string }}")
  expect(dated.render(asked, { addGenerationPrompt: false })).toBe(
    "2024-07-26, Friday 26 July 00:00 100% %q 26 Jul 2024",
  )
})

test("a template that does not parse is refused", () => {
  expect(() => chatTemplate("{% for x in %}")).toThrow(expect.objectContaining({ code: "TOKENIZER_MALFORMED" }))
  expect(() => chatTemplate("x".repeat(2 ** 20 + 1))).toThrow(/expected at most 1048576 characters/)
})

test("what a template refuses is said in its own words and never in the data's", () => {
  const strict = chatTemplate(
    "{% if messages[0].role != 'system' %}{{ raise_exception('a system turn first') }}{% endif %}",
  )
  expect(() => strict.render(asked, { addGenerationPrompt: false })).toThrow(
    expect.objectContaining({
      code: "DATA_MALFORMED",
      message: expect.stringMatching(/: a system turn first$/) as string,
    }),
  )
  const quoting = chatTemplate("{{ raise_exception('got ' + messages[0].content) }}")
  expect(() => quoting.render([{ role: "user", content: "secret" }], { addGenerationPrompt: false })).toThrow(
    /refuses the messages$/,
  )
})
