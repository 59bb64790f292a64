import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"

import { lamina, lastJson, root, temporaryFolder } from "./lamina-process.js"

const tiny = join(root, "models/tiny")
const folder = temporaryFolder("eval")

function write(name: string, rows: readonly object[]): string {
  const path = join(folder, name)
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""))
  return path
}
const evaluate = async <T>(task: string, data: string, ...args: string[]): Promise<T> =>
  lastJson<T>(await lamina("eval", tiny, "--task", task, "--data", data, "--json", ...args))

test("choice chooses by likelihood: both accuracies, chance, and every question in the file of --out", async () => {
  const rows = [
    { question: "We the people of the United", choices: ["States", "xq zv"], answer: 0 },
    { question: "Who writes to the Congress?", choices: ["zzz qqq", "the President", "jjj xxx"], answer: "B" },
  ]
  const out = join(folder, "chosen.jsonl")
  const result = await evaluate("choice", write("choice.jsonl", rows), "--out", out)
  // no model of English prefers these letters; 1/2 and 1/3 are the chances
  expect(result).toEqual({
    ...{ task: "choice", questions: 2, accuracy: 1, accuracyPerByte: 1, shortened: 0 },
    chance: expect.closeTo(5 / 12, 12),
  })
  const items = readFileSync(out, "utf8").trimEnd().split("\n")
  expect(items.map((line) => (JSON.parse(line) as { answer: number }).answer)).toEqual([0, 1])
})

test("exact and generate judge the same greedy answers, of the first prompts with --limit", async () => {
  const prompts = ["My fellow citizens", "We the people", "The Secretary of"]
  const first = write(
    "first.jsonl",
    prompts.map((prompt) => ({ prompt, response: "nothing of the kind" })),
  )
  const out = join(folder, "answers.jsonl")
  const options = ["--max-tokens", "8", "--limit", "2"]
  expect(await evaluate("exact", first, ...options, "--out", out)).toMatchObject({ prompts: 2, exactMatch: 0 })
  const said = readFileSync(out, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as { prompt: string; answer: string })
  expect(said.map(({ prompt }) => prompt)).toEqual(prompts.slice(0, 2))
  const perfect = said.flatMap(({ prompt, answer }) => [
    { prompt, response: "nothing of the kind" },
    { prompt, response: `${answer} ` },
  ])
  const same = write("same.jsonl", perfect)
  expect(await evaluate("exact", same, "--max-tokens", "8")).toMatchObject({ prompts: 2, exactMatch: 1, tokens: 16 })
  expect(await evaluate("generate", same, "--max-tokens", "8")).toMatchObject({
    ...{ task: "generate", prompts: 2, references: 4, rougeL: 1, brevityPenalty: 1 },
    bleu: expect.closeTo(100, 6),
  })
}, 120_000)

test("perplexity has four figures, and what does not go with it is refused", async () => {
  const text = join(root, "examples/data/held-out.txt")
  const result = await evaluate<object>("perplexity", text)
  expect(Object.keys(result)).toEqual(["task", "loss", "perplexity", "accuracy", "tokens"])
  expect((await lamina("eval", tiny, "--data", text, "--limit", "2")).status).toBe(2)
  expect((await lamina("eval", tiny, "--data", text, "--task", "choice")).status).toBe(2)
  expect((await lamina("eval", tiny, "--data", text, "--task", "guess")).status).toBe(2)
})

test.each([
  ["perplexity", ["--out", join(folder, "none.jsonl")], "--out: goes with --task choice, exact, generate"],
  ["perplexity", ["--system", "Be brief."], "--system: goes with"],
  ["choice", ["--text-field", "x"], "--text-field: goes with --task perplexity"],
  ["choice", ["--separator", "x"], "--separator: goes with"],
  ["choice", ["--max-tokens", "8"], "--max-tokens: goes with --task exact, generate"],
])("an option that %s has no use for is refused before the model is read: %j", async (task, args, message) => {
  const refused = await lamina("eval", join(folder, "no-model"), "--task", task, "--data", "none.jsonl", ...args)
  expect(refused).toMatchObject({ status: 2, stderr: expect.stringContaining(message) })
})

test("an --out that cannot be written is refused before the model is read", async () => {
  const args = ["--task", "exact", "--data", "none.jsonl", "--out", folder]
  const refused = await lamina("eval", join(folder, "no-model"), ...args)
  expect(refused).toMatchObject({ status: 1, stderr: `lamina: error: ${folder}: EISDIR [FILE_UNWRITABLE]\n` })
})

test("progress goes to stderr, and a malformed question exits 1 with file and line", async () => {
  const rows = Array.from({ length: 20 }, (_, i) => ({ prompt: `Number ${i}`, response: "x" }))
  const judged = await lamina("eval", tiny, "--task", "exact", "--max-tokens", "1", "--data", write("many.jsonl", rows))
  expect(judged.stdout).toBe("exact match 0.00 %   20 prompts\n")
  expect(judged.stderr).toMatch(/20\/20 answers\n$/)
  const bad = write("bad.jsonl", [{ question: "q", choices: ["a", "b"], answer: 7 }])
  const refused = await lamina("eval", tiny, "--task", "choice", "--data", bad)
  expect(refused).toMatchObject({ status: 1, stderr: expect.stringMatching(/bad\.jsonl:1: .*\[DATA_MALFORMED\]/) })
})
