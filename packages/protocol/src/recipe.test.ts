import { readFileSync } from "node:fs"

import { STRATEGY_NAMES } from "./strategy-names.js"
import { parseRecipe, Recipe, recipeJsonSchema, recipeKeys } from "./recipe.js"

const minimal = { name: "a", base: "b" }

test("a name and a base are enough; the rest has defaults", () => {
  const recipe = parseRecipe(minimal)
  expect(recipe.lora.rank).toBe(16)
  expect(recipe.training.learningRate).toBe(0.002)
  expect(recipe.privacy.mode).toBe("open")
})

test.each([
  ["an unknown key, with the known ones", { ...minimal, lora: { rnak: 3 } }, /^lora: .*rank, alphaPerRank.*"rnak"/],
  ["a wrong type", { ...minimal, rounds: "three" }, /^rounds: .*expected number.*"three"/],
  ["a number out of bounds", { ...minimal, training: { steps: 0 } }, /^training\.steps: .*1.*got 0/],
  ["a missing key", { base: "b" }, /^name: .*expected string.*got nothing/],
  ["a mode that is not built", { ...minimal, privacy: { mode: "blind" } }, /^privacy\.mode: .*"open".*"blind"/],
  [
    "deadlines the wrong way round",
    { ...minimal, cohort: { softDeadlineMs: 9e5, hardDeadlineMs: 1e4 } },
    /^cohort\.hardDeadlineMs: .*softDeadlineMs/,
  ],
  [
    "a client twice",
    {
      ...minimal,
      simulation: {
        clients: [
          { name: "x", data: "d" },
          { name: "x", data: "d" },
        ],
      },
    },
    /^simulation\.clients\.1\.name: .*"x"/,
  ],
  [
    "fedit with unequal ranks",
    {
      ...minimal,
      strategy: "fedit",
      simulation: {
        clients: [
          { name: "x", data: "d", rank: 4 },
          { name: "y", data: "d" },
        ],
      },
    },
    /^strategy: .*flora/,
  ],
  ["something that is no object", 7, /^recipe: .*7/],
])("%s is RECIPE_INVALID with its path", (_, recipe, message) => {
  expect(() => parseRecipe(recipe)).toThrow(
    expect.objectContaining({ code: "RECIPE_INVALID", message: expect.stringMatching(message) }),
  )
})

test.each([
  [
    "a server optimizer where nothing is averaged",
    { strategy: "flora", serverOptimizer: { name: "adam" } },
    /^serverOptimizer.name: .*averages nothing/,
  ],
  [
    "compression of factors that clients train",
    { strategy: "fedit", globalAdapter: { maxRank: 8 } },
    /^globalAdapter: .*neither tau nor maxRank/,
  ],
  [
    "a merge of factors that clients go on training",
    { strategy: "zeropad", globalAdapter: { merge: true } },
    /^globalAdapter.merge: /,
  ],
  [
    "a buffer where late factors fit nowhere",
    { strategy: "fedit", cohort: { buffer: {} } },
    /^cohort.buffer: .*flora, florist, fedpipe/,
  ],
  [
    "kept updates that nobody could be taken out of",
    { strategy: "fedit", globalAdapter: { keepUpdates: true } },
    /^globalAdapter.keepUpdates: .*flora, florist, fedpipe/,
  ],
  [
    "an option of another strategy",
    { strategy: "flora", strategyOptions: { pruneTo: 0.5 } },
    /^strategyOptions.pruneTo: .*"flora": only "hetlora"/,
  ],
  [
    "a warm-up that outlasts the round",
    { training: { steps: 2, warmupSteps: 3 } },
    /^training.warmupSteps: expected at most training.steps \(2\)/,
  ],
  [
    "a rank below all that are planned",
    { strategy: "fedpipe", simulation: { population: { count: 2, data: "d", ranks: [8, 2] } } },
    /^simulation: expected ranks of at least 4, .*got 2/,
  ],
  [
    "a merge into a quantized base",
    {
      globalAdapter: { merge: true },
      simulation: { population: { count: 2, data: "d", devices: ["any"] }, devices: { any: { precision: "q4" } } },
    },
    /^globalAdapter.merge: expected clients that hold the base as bf16 or f32, got one as q4/,
  ],
  [
    "a buffer that the cohort never fills",
    { cohort: { clients: 3, buffer: { size: 5 } } },
    /^cohort.buffer.size: expected at most 3, as many clients as train at a time, got 5$/,
  ],
  [
    "a buffer of a service that says no number of clients, which is 1",
    { cohort: { buffer: { size: 2 } } },
    /^cohort.buffer.size: expected at most 1, .*got 2$/,
  ],
  [
    "a buffer that all who are simulated never fill",
    { cohort: { buffer: {} }, simulation: { population: { count: 6, data: "d.csv" } } },
    /^cohort.buffer.size: expected at most 6, .*got 10$/,
  ],
  [
    "unequal ranks of a population",
    { strategy: "fedex", simulation: { population: { count: 4, data: "d.csv", ranks: [8, 4] } } },
    /^strategy: .*equal ranks, got 8, 4/,
  ],
  [
    "clients and a population",
    { simulation: { clients: [{ name: "a", data: "d" }], population: { count: 1, data: "d" } } },
    /^simulation.clients: expected either/,
  ],
  [
    "a device nobody described",
    { simulation: { clients: [{ name: "a", data: "d", device: "phone" }] } },
    /^simulation.clients.0.device: .*got "phone"/,
  ],
])("%s is refused, not ignored", (_, changes, message) => {
  expect(() => parseRecipe({ name: "r", base: ".", ...changes })).toThrow(
    expect.objectContaining({ code: "RECIPE_INVALID", message: expect.stringMatching(message) }),
  )
})

test("what is asked of a strategy is taken where it can be followed", () => {
  const simulation = { population: { count: 2, data: "d", ranks: [3] } }
  for (const recipe of [
    { strategy: "florist", strategyOptions: { tau: 0.3 }, globalAdapter: { keepUpdates: true } },
    { strategy: "fedpipe", lora: { rank: 3 }, strategyOptions: { perClient: false }, simulation },
    { strategy: "hetlora", strategyOptions: { pruneTo: 0.5, tau: 0.1 }, training: { steps: 3, warmupSteps: 3 } },
  ])
    expect(parseRecipe({ ...minimal, ...recipe })).toMatchObject(recipe)
})

test("a recipe that was taken before a rule was made is still read from where it is stored", () => {
  const stored = { ...minimal, strategy: "fedit", globalAdapter: { keepUpdates: true } }
  expect(Recipe.parse(stored)).toMatchObject(stored)
  expect(() => parseRecipe(stored)).toThrow(/keepUpdates/)
})

const partitioned = (partition: object) => ({ population: { count: 2, data: "d", partition } })

test.each([
  ["a device", { devices: { phone: { memory: 1 } } }, /^simulation\.devices\.phone: .* memoryBytes, .*got "memory"/m],
  [
    "data of a client",
    { clients: [{ name: "a", data: { path: "x", prompt: "p" } }] },
    /^simulation\.clients\.0\.data: expected the keys path, promptField, .*separator, got "prompt"$/m,
  ],
  [
    "data without what it needs",
    { clients: [{ name: "a", data: { pth: "x" } }] },
    /^simulation\.clients\.0\.data\.path: .*got nothing.*\n^simulation\.clients\.0\.data: .* path, .*got "pth"$/m,
  ],
  ["a partition", partitioned({ kind: "iid", alpha: 2 }), /partition: expected the keys kind, got "alpha"$/m],
  [
    "a partition of another kind",
    partitioned({ kind: "shards", key: "k", perclient: 2 }),
    /partition: expected the keys kind, perClient, key, got "perclient"$/m,
  ],
])("a wrong key under %s is told with the keys that may stand there", (_, simulation, message) => {
  expect(() => parseRecipe({ ...minimal, simulation })).toThrow(
    expect.objectContaining({ code: "RECIPE_INVALID", message: expect.stringMatching(message) }),
  )
})

test("data that is neither a file nor an object is told as it came", () => {
  const recipe = { ...minimal, simulation: { clients: [{ name: "a", data: 7 }] } }
  expect(() => parseRecipe(recipe)).toThrow(/^simulation\.clients\.0\.data: .*got 7/)
})

test.each([
  ["limits above lora.rank", { clients: [16, 32].map((rank) => ({ name: `c${rank}`, data: "d", rank })) }],
  [
    "devices above lora.rank",
    { devices: { big: { rank: 64 }, plain: {} }, population: { count: 2, data: "d", devices: ["big", "plain"] } },
  ],
  ["ranks that no client has", { population: { count: 2, data: "d.csv", ranks: [8, 8, 4] } }],
  [
    "devices that no client has",
    { devices: { a: {}, b: { rank: 4 } }, population: { count: 2, data: "d", devices: ["a", "a", "b"] } },
  ],
])("strategies for equal ranks take clients that train the same for all of %s", (_, simulation) => {
  expect(parseRecipe({ ...minimal, strategy: "fedit", simulation }).strategy).toBe("fedit")
})

test("the third of a list of ranks counts where there is a third client", () => {
  const simulation = { population: { count: 3, data: "d.csv", ranks: [8, 8, 4] } }
  expect(() => parseRecipe({ ...minimal, strategy: "fedit", simulation })).toThrow(/equal ranks, got 8, 4/)
})

test("docs/recipes.md has a row for every key with its default", () => {
  const page = readFileSync(new URL("../../../docs/recipes.md", import.meta.url), "utf8")
  for (const { path, fallback } of recipeKeys()) {
    const row = page.split("\n").find((line) => line.startsWith(`| \`${path}\` |`))
    expect([path, row !== undefined]).toEqual([path, true])
    if (fallback !== undefined) expect([path, row?.includes(`| ${fallback} |`)]).toEqual([path, true])
  }
})

test("the JSON Schema says what must be given, the bounds, and that other keys are wrong", () => {
  const schema = recipeJsonSchema() as {
    required: string[]
    additionalProperties: boolean
    properties: Record<string, object>
  }
  expect(schema.required).toEqual(["name", "base"])
  expect(schema.additionalProperties).toBe(false)
  expect(schema.properties.rounds).toMatchObject({ type: "integer", minimum: 1, maximum: 100_000, default: 3 })
  expect(schema.properties.strategy).toMatchObject({ enum: [...STRATEGY_NAMES], default: "flora" })
})

test("several mistakes are told together, one line each", () => {
  const lines = (): string[] => {
    try {
      parseRecipe({ name: "Not Good", base: "", rounds: 0, extra: 1 })
      return []
    } catch (error) {
      return (error as Error).message.split("\n")
    }
  }
  expect(
    lines()
      .map((line) => line.slice(0, line.indexOf(":")))
      .sort(),
  ).toEqual(["base", "name", "recipe", "rounds"])
  for (const line of lines()) expect(line).toMatch(/got/)
})

interface SchemaNode {
  readonly properties?: Readonly<Record<string, SchemaNode>>
  readonly items?: SchemaNode
  readonly enum?: readonly string[]
  readonly const?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly exclusiveMinimum?: number
  readonly exclusiveMaximum?: number
}

/** How the page writes a bound that is not written as a plain number. */
const SPOKEN: Readonly<Record<number, string>> = { [0xffff_ffff]: "2^32 - 1", 1_000: "1 s", 604_800_000: "7 days" }

function boundsOf(node: SchemaNode): string[] {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = node
  const numbers = [minimum, maximum, exclusiveMinimum, exclusiveMaximum].filter(
    (bound) => bound !== undefined && Math.abs(bound) < Number.MAX_SAFE_INTEGER,
  )
  return [
    ...numbers.map((bound) => SPOKEN[Number(bound)] ?? Number(bound).toLocaleString("en-US")),
    ...(node.enum ?? []),
    ...(node.const === undefined ? [] : [node.const]),
  ]
}

test("docs/recipes.md has the bounds of every key", () => {
  const page = readFileSync(new URL("../../../docs/recipes.md", import.meta.url), "utf8").split("\n")
  const missing: string[] = []
  let checked = 0
  const walk = (node: SchemaNode, path: string): void => {
    for (const [key, child] of Object.entries(node.properties ?? {})) walk(child, path === "" ? key : `${path}.${key}`)
    if (node.items?.properties) walk(node.items, `${path}[]`)
    const cell = page.find((line) => line.startsWith(`| \`${path}\` |`))?.split("|")[3] ?? ""
    for (const bound of boundsOf(node)) {
      checked++
      if (!new RegExp(`(^|[\\s,])${bound.replace(/[\^$]/g, "\\$&")}([\\s,]|$)`).test(cell))
        missing.push(`${path}: ${bound} in "${cell}"`)
    }
  }
  walk(recipeJsonSchema() as SchemaNode, "")
  expect(missing).toEqual([])
  expect(checked).toBeGreaterThan(40)
})
