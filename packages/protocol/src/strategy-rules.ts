import { plannedPrecisions } from "./held-precision.js"
import type { SimulationRecipe } from "./recipe-simulation.js"
import type { StrategyName } from "./strategy-names.js"

/** What a recipe may ask of a strategy; the arithmetic itself is in packages/aggregation. */
interface StrategyRule {
  /** Whether clients of a round may train different ranks. */
  readonly unequalRanks: boolean
  /** Averages factors, so that a server optimizer has something to step on. */
  readonly averages: boolean
  /** The global adapter is a sum of products that may be compressed; false: clients train its very factors. */
  readonly compresses: boolean
  /** Clients train new factors beside a frozen global adapter; false: they go on training the global adapter itself. */
  readonly stacks: boolean
}

export const STRATEGY_RULES: Readonly<Record<StrategyName, StrategyRule>> = {
  flora: { unequalRanks: true, averages: false, compresses: true, stacks: true },
  florist: { unequalRanks: true, averages: false, compresses: true, stacks: true },
  flexlora: { unequalRanks: true, averages: false, compresses: true, stacks: false },
  fedit: { unequalRanks: false, averages: true, compresses: false, stacks: false },
  zeropad: { unequalRanks: true, averages: true, compresses: false, stacks: false },
  hetlora: { unequalRanks: true, averages: true, compresses: false, stacks: false },
  ffa: { unequalRanks: true, averages: true, compresses: false, stacks: false },
  fedex: { unequalRanks: false, averages: true, compresses: true, stacks: false },
  fedpipe: { unequalRanks: true, averages: false, compresses: true, stacks: true },
}

/** Ranks that `fedpipe` chooses from, beside `lora.rank` and up to it. */
export const PLANNED_RANKS = [4, 8, 16, 32, 64] as const

/** What only one strategy reads, with the value that says nothing. */
export const STRATEGY_OPTIONS = {
  /** Relative error of the round's own aggregate that may be cut away (tail energy under tau²). */
  tau: { of: "florist", fallback: 0.1 },
  /** Ranks beyond this share are pruned from a client where they carry little; 1: no pruning. */
  pruneTo: { of: "hetlora", fallback: 1 },
  /** How mixed ranks of one module are combined. */
  combine: { of: "fedpipe", fallback: "stack" },
  /** Steps of the first round, which only measures the importance of every module at rank 1. */
  probeSteps: { of: "fedpipe", fallback: 4 },
  /** false gives every client the plan of the weakest one, the baseline planning is compared with. */
  perClient: { of: "fedpipe", fallback: true },
} as const

interface Asked {
  readonly strategy: StrategyName
  readonly strategyOptions: Readonly<Record<keyof typeof STRATEGY_OPTIONS, unknown>>
  readonly serverOptimizer: { readonly name: string }
  readonly globalAdapter: {
    readonly tau: number
    readonly maxRank?: number | undefined
    readonly merge: boolean
    readonly keepUpdates: boolean
  }
  readonly cohort: { readonly buffer?: object | undefined }
  readonly lora: { readonly rank: number }
  readonly simulation?: SimulationRecipe | undefined
}

/** Settings of a recipe that its strategy cannot follow: said, not ignored. */
export function strategyIssues(recipe: Asked): { path: string[]; message: string }[] {
  const { strategy, serverOptimizer, globalAdapter } = recipe
  const rule = STRATEGY_RULES[strategy]
  const issues: { path: string[]; message: string }[] = []
  const others = (key: keyof StrategyRule): string =>
    Object.entries(STRATEGY_RULES)
      .flatMap(([name, each]) => (each[key] ? [name] : []))
      .join(", ")
  if (serverOptimizer.name !== "none" && !rule.averages)
    issues.push({
      path: ["serverOptimizer", "name"],
      message: `expected "none" for strategy "${strategy}", which averages nothing (${others("averages")} do)`,
    })
  if ((globalAdapter.tau > 0 || globalAdapter.maxRank !== undefined) && !rule.compresses)
    issues.push({
      path: ["globalAdapter"],
      message: `expected neither tau nor maxRank for strategy "${strategy}": clients train the factors themselves`,
    })
  if (recipe.cohort.buffer && !rule.stacks)
    issues.push({
      path: ["cohort", "buffer"],
      message: `expected none for "${strategy}": late factors had another start (${others("stacks")} stack them)`,
    })
  if (globalAdapter.merge && !rule.stacks)
    issues.push({
      path: ["globalAdapter", "merge"],
      message: `expected false for strategy "${strategy}": clients go on training the global adapter's factors`,
    })
  if (globalAdapter.keepUpdates && !rule.stacks)
    issues.push({
      path: ["globalAdapter", "keepUpdates"],
      message: `expected false for "${strategy}": \`lamina forget\` takes clients out of ${others("stacks")} only`,
    })
  for (const [name, { of, fallback }] of Object.entries(STRATEGY_OPTIONS))
    if (of !== strategy && recipe.strategyOptions[name as keyof typeof STRATEGY_OPTIONS] !== fallback)
      issues.push({
        path: ["strategyOptions", name],
        message: `expected to be left out for strategy "${strategy}": only "${of}" reads it`,
      })
  return [...issues, ...simulationIssues(recipe)]
}

/** What simulated clients are and the strategy cannot use. */
function simulationIssues(recipe: Asked): { path: string[]; message: string }[] {
  const { strategy, globalAdapter, lora, simulation: { clients = [], devices = {} } = {} } = recipe
  const issues: { path: string[]; message: string }[] = []
  const ranks = new Set(simulatedRanks(recipe))
  if (!STRATEGY_RULES[strategy].unequalRanks && ranks.size > 1)
    issues.push({
      path: ["strategy"],
      message: `"${strategy}" averages A and B and needs equal ranks, got ${[...ranks].join(", ")}; choose "flora"`,
    })
  const least = Math.min(PLANNED_RANKS[0], lora.rank)
  const tooLow = [...ranks].find((rank) => rank < least)
  if (strategy === "fedpipe" && tooLow !== undefined)
    issues.push({
      path: ["simulation"],
      message: `expected ranks of at least ${least}, the lowest that "fedpipe" plans with, got ${tooLow}`,
    })
  const allowed: readonly string[] = plannedPrecisions(globalAdapter)
  const named = [...clients, ...Object.values(devices)].flatMap(({ precision = [] }) => precision)
  const quantized = named.find((precision) => !allowed.includes(precision))
  if (quantized !== undefined)
    issues.push({
      path: ["globalAdapter", "merge"],
      message: `expected clients that hold the base as ${allowed.join(" or ")}, got one as ${quantized}`,
    })
  return issues
}

/** What the clients train at most: their own limits, none above the recipe's rank. */
function simulatedRanks({ lora, simulation }: Asked): number[] {
  const { clients = [], population, devices = {} } = simulation ?? {}
  const ofDevice = (name: string | undefined) => (name === undefined ? undefined : devices[name]?.rank)
  const ofClients = clients.map(({ rank, device }) => rank ?? ofDevice(device))
  // lists start again at their end: what stands beyond the number of clients is nobody's
  const ofPopulation = (population?.ranks ?? population?.devices?.map(ofDevice) ?? []).slice(0, population?.count)
  return [...ofClients, ...ofPopulation].map((rank) => Math.min(rank ?? lora.rank, lora.rank))
}
