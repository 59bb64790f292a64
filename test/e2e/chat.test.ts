import { cpSync, writeFileSync } from "node:fs"
import { join } from "node:path"

import { LaminaProcess, lamina, root, temporaryFolder } from "./lamina-process.js"

const tiny = join(root, "models/tiny")
/** Shows all of the conversation, so that what was forgotten is seen in what the model is asked. */
const TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"

/** The embedded model with a chat template. */
function chatModel(): string {
  const folder = temporaryFolder("chat")
  cpSync(tiny, folder, { recursive: true })
  writeFileSync(join(folder, "chat_template.jinja"), TEMPLATE)
  return folder
}
const greedy = ["--temperature", "0", "--max-tokens", "8"]

async function chat(model: string, input: string, ...args: string[]): Promise<{ stdout: string; stderr: string }> {
  const finished = await new LaminaProcess(["chat", model, ...greedy, ...args], { input }).finished
  expect(finished.status).toBe(0)
  return finished
}

/** What `lamina generate` says to a text as the template writes it. */
async function said(model: string, prompt: string): Promise<string> {
  return (await lamina("generate", model, ...greedy, "--prompt", prompt)).stdout
}

test("in a pipe every line is a question, answered in the light of those before", async () => {
  const model = chatModel()
  const { stdout } = await chat(model, "We the people\n\nof the United\n")
  const first = await said(model, "user: We the people\nassistant:")
  const history = `user: We the people\nassistant: ${first.slice(0, -1)}\nuser: of the United\nassistant:`
  expect(stdout).toBe(first + (await said(model, history)))
}, 60_000)

test("/reset forgets, /system instructs, /exit ends, and other words after a slash are a question", async () => {
  const model = chatModel()
  const { stdout } = await chat(
    model,
    "/usr/bin what is it?\n/reset\nWe the people\n/reset\n/system Be brief.\nof the United\n/exit\nno\n",
  )
  const second = await said(model, "system: Be brief.\nuser: of the United\nassistant:")
  const slash = await said(model, "user: /usr/bin what is it?\nassistant:")
  expect(stdout).toBe(slash + (await said(model, "user: We the people\nassistant:")) + second)
  expect((await chat(model, "of the United\n", "--system", "Be brief.")).stdout).toBe(second)
}, 60_000)

test("what no longer fits the context is forgotten, the oldest first", async () => {
  const model = chatModel()
  const { stdout, stderr } = await chat(model, "We the people\nof the United\n", "--context", "32")
  expect(stderr).toContain("the oldest 1 exchanges no longer fit")
  expect(stdout.endsWith(await said(model, "user: of the United\nassistant:"))).toBe(true)
}, 60_000)

test("Ctrl-C stops the answer and not the program", async () => {
  const child = new LaminaProcess(
    ["chat", chatModel(), "--max-tokens", "100000", "--context", "256", "--temperature", "2", "--seed", "1"],
    { input: "We the people\n", keepOpen: true },
  )
  await child.until(/\S+ \S+/)
  child.kill("SIGINT")
  await child.until(/\n/)
  child.write("/exit\n")
  expect((await child.finished).status).toBe(0)
}, 60_000)

test("generate and eval write their prompts with the template when told to", async () => {
  const model = chatModel()
  const asked = ["--prompt", "We the people", "--chat", "--system", "Be brief."]
  const expected = await said(model, "system: Be brief.\nuser: We the people\nassistant:")
  expect((await lamina("generate", model, ...greedy, ...asked)).stdout).toBe(expected)
  const data = join(model, "data.jsonl")
  writeFileSync(data, JSON.stringify({ prompt: "We the people", response: expected }))
  const task = ["--data", data, "--task", "exact", "--max-tokens", "8"]
  expect((await lamina("eval", model, ...task, ...asked.slice(2))).stdout).toBe("exact match 100.00 %   1 prompts\n")
  expect((await lamina("eval", model, ...task)).stdout).toBe("exact match 0.00 %   1 prompts\n")
  expect((await lamina("eval", model, ...task, "--system", "Be brief.")).status).toBe(2)
}, 60_000)

test("a model without a chat template is refused with what to do", async () => {
  const finished = await new LaminaProcess(["chat", tiny], { input: "hello\n" }).finished
  expect(finished).toMatchObject({ status: 1, stderr: expect.stringMatching(/\[MODEL_UNSUPPORTED\]\nlamina: hint: /) })
})
