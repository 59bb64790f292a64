import { writeFileSync } from "node:fs"
import { join } from "node:path"

import { lamina, lastJson, root, temporaryFolder } from "./lamina-process.js"

const tiny = join(root, "models/tiny")
const prompt = ["--prompt", "My fellow Americans,"]

interface Generated {
  readonly text: string
  readonly ids: number[]
  readonly promptTokens: number
  readonly finish: string
  readonly seed: number
  readonly tokensPerSecond: number
}

test("generate prints the text alone to stdout, and with --json one object about it", async () => {
  const options = ["--max-tokens", "16", "--temperature", "1", "--top-p", "0.9", "--seed", "5"]
  const [plain, json] = await Promise.all([
    lamina("generate", tiny, ...prompt, ...options),
    lamina("generate", tiny, ...prompt, ...options, "--json"),
  ])
  const result = lastJson<Generated>(json)
  expect(result).toMatchObject({ promptTokens: 5, finish: "length", seed: 5, tokensPerSecond: expect.any(Number) })
  expect(result.ids).toHaveLength(16)
  expect(plain).toMatchObject({ status: 0, stdout: `${result.text}\n` })
  expect(plain.stderr).toMatch(/^5 tokens read at \d+\/s, 16 written at [\d.]+\/s\n$/)
  expect(json.stdout.trimEnd().split("\n")).toHaveLength(1)
})

test("a prompt may come from a file, and a stop text ends the answer", async () => {
  const file = join(temporaryFolder("prompt"), "prompt.txt")
  writeFileSync(file, prompt[1] ?? "")
  const options = ["--max-tokens", "16", "--json"]
  const whole = lastJson<Generated>(await lamina("generate", tiny, "--prompt-file", file, ...options))
  const [, word] = /(\w+) \w+$/.exec(whole.text) ?? []
  const ended = lastJson<Generated>(await lamina("generate", tiny, ...prompt, ...options, "--stop", word ?? ""))
  expect(ended).toMatchObject({ finish: "stop", text: whole.text.slice(0, whole.text.indexOf(word ?? "")) })
})

test("generate without a prompt, with two, or with a number out of range exits 2", async () => {
  const wrong = [[], [...prompt, "--prompt-file", "x"], [...prompt, "--top-p", "2"], [...prompt, "--max-tokens", "0"]]
  for (const args of wrong) expect((await lamina("generate", tiny, ...args)).status).toBe(2)
  const missing = await lamina("generate", tiny, "--prompt-file", "/nowhere")
  expect(missing).toMatchObject({ status: 1, stderr: expect.stringContaining("[FILE_UNREADABLE]") })
})
