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

interface Asked {
  readonly strategy: StrategyName
  readonly serverOptimizer: { readonly name: string }
  readonly globalAdapter: { readonly tau: number; readonly maxRank?: number | undefined; readonly merge: boolean }
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
  const ranks = new Set(simulatedRanks(recipe))
  if (!rule.unequalRanks && ranks.size > 1)
    issues.push({
      path: ["strategy"],
      message: `"${strategy}" averages A and B and needs equal ranks, got ${[...ranks].join(", ")}; choose "flora"`,
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
