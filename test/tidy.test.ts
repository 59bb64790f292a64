import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

/** House style as a test (STYLE.md): what lint cannot see, over every file git tracks or would track. */
const root = fileURLToPath(new URL("..", import.meta.url))
const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
  cwd: root,
  encoding: "utf8",
})
  .split("\n")
  .filter((file) => /^(apps|packages|test|bench|scripts|examples)\//.test(file))
  .filter((file) => /\.(ts|mjs|cc|h|wgsl|proto)$/.test(file) && !/\/(gen|vectors|dist|build)\//.test(file))

const read = (file: string): string => readFileSync(root + file, "utf8")
const source = files.filter((file) => /\.ts$/.test(file) && /^(apps|packages)\//.test(file))
const production = source.filter((file) => !file.endsWith(".test.ts"))

test("there is something to check", () => {
  expect(production.length).toBeGreaterThan(50)
})

test("lines are at most 120 columns", () => {
  const long = files.flatMap((file) =>
    read(file)
      .split("\n")
      .flatMap((line, i) =>
        line.length > 120 && !/https?:\/\//.test(line) ? [`${file}:${i + 1} has ${line.length}`] : [],
      ),
  )
  expect(long).toEqual([])
})

test("files are at most 400 lines", () => {
  expect(files.map((file) => [file, read(file).split("\n").length]).filter(([, lines]) => Number(lines) > 400)).toEqual(
    [],
  )
})

test("no file is named after nothing", () => {
  expect(files.filter((file) => /\/(utils?|helpers?|common|manager|base|misc)\.[a-z]+$/.test(file))).toEqual([])
})

/** Word -> what to say instead (ARCHITECTURE.md, vocabulary). */
const BANNED: readonly [RegExp, string][] = [
  [/\bparticipants?\b/i, "client"],
  [/\bglobal model\b/i, "base, or global adapter"],
  [/\bmerged model\b/i, "global adapter"],
  [/\bexperiments?\b/i, "run"],
  [/\baggregator\b/i, "strategy"],
  [/\bTODO\b|\bFIXME\b/, "an issue"],
  [/\bfor now\b|\btemporar(y|ily)\b/i, "what it is"],
]

test("prose and code keep to the vocabulary", () => {
  const found = production.flatMap((file) =>
    read(file)
      .split("\n")
      .flatMap((line, i) =>
        BANNED.filter(([word]) => word.test(line)).map(([word, instead]) => `${file}:${i + 1} ${word} -> ${instead}`),
      ),
  )
  expect(found).toEqual([])
})

test("every export is used by another file", () => {
  const texts = new Map(files.map((file) => [file, read(file)]))
  const index = production
    .filter((file) => /\/src\/index\.ts$/.test(file))
    .map((file) => texts.get(file) ?? "")
    .join("\n")
  const dead = production.flatMap((file) => {
    if (file.endsWith("/index.ts")) return []
    const names = [
      ...(texts.get(file) ?? "").matchAll(/^export (?:async )?(?:function|const|class|interface|type) (\w+)/gm),
    ].map((match) => match[1] ?? "")
    return names
      .filter((name) => {
        const word = new RegExp(`\\b${name}\\b`)
        return !word.test(index) && ![...texts].some(([other, text]) => other !== file && word.test(text))
      })
      .map((name) => `${file}: ${name}`)
  })
  expect(dead).toEqual([])
})

test("the README stays short", () => {
  expect(read("README.md").split("\n").length).toBeLessThanOrEqual(121)
})
