import type { BaseShape, Binding, ClientPlan, DeviceProfile, ModuleScores, PlanClient, PlanningTerms } from "./api.js"
import { infeasible } from "./infeasible.js"
import type { SolverLimits } from "./milp.js"
import { estimateOf, fits, precisionsOf, problemOf } from "./problem.js"
import type { Problem, Setting } from "./problem.js"
import { batchesOf, search } from "./search.js"
import type { Found } from "./search.js"

/** A client's problem takes a few milliseconds; one that takes this is not worth waiting for. */
const SOLVER_LIMITS: SolverLimits = { nodesMax: 2_000, secondsMax: 1 }

/** How much a limit is loosened to see whether it binds. */
const LOOSENED = 1.1

/**
 * What one client is to train (Lamina's reading of FedPipe, arXiv:2404.06448): the modules, ranks and steps that are
 * worth most within its memory, its upload and the round's time. Of the ways to hold them it takes the first precision
 * of `terms.precisions` that fits, then no gradient checkpointing, then the largest micro-batch. docs/planning.md has
 * the program and the models. The same arguments give the same plan. PLAN_INFEASIBLE, RECIPE_INVALID for terms that
 * make no sense, SCORES_NOT_FINITE.
 */
export const planClient: PlanClient = (base, profile, scores, terms) =>
  planWithin(SOLVER_LIMITS, { base, profile, scores, terms })

/** What planClient is given. */
interface PlanInput {
  readonly base: BaseShape
  readonly profile: DeviceProfile
  readonly scores: ModuleScores
  readonly terms: PlanningTerms
}

/** planClient with a solver that gives up where it is told to. */
export async function planWithin(limits: SolverLimits, input: PlanInput): Promise<ClientPlan> {
  const { base, profile, scores, terms } = input
  const problem = problemOf(base, profile, scores, terms)
  const found = await search(problem, { above: 0, limits })
  if (found === undefined) throw infeasible(problem)
  const { precision, batch, gradientCheckpointing, steps, lowestLayer } = settingOf(problem, found)
  const setting = { precision, batch, gradientCheckpointing, steps }
  return {
    ...setting,
    modules: problem.modules.flatMap(({ name }, i) => {
      const rank = found.choice.ranks.get(i)
      return rank === undefined ? [] : [{ name, rank }]
    }),
    accumulate: (terms.batch / batch) * (terms.accumulate ?? 1),
    estimate: estimateOf(problem, { ...setting, lowestLayer }, found.choice.cost),
    binding: await bindingOf(problem, { value: found.value, scores, limits }),
    value: Math.round(1e9 * found.value) / 1e9, // a sum of many parts may be 0.9999999999999982
    solver: found.proven ? "highs" : "greedy",
  }
}

/** The most comfortable way to train what was found. */
function settingOf(problem: Problem, { choice, steps }: Found): Setting {
  const { profile, terms, modules } = problem
  const lowestLayer = Math.min(...[...choice.ranks.keys()].map((i) => modules[i]?.layer ?? 0))
  for (const precision of precisionsOf(profile, terms))
    for (const gradientCheckpointing of [false, true])
      for (const batch of batchesOf(problem)) {
        const setting = { precision, gradientCheckpointing, batch, steps, lowestLayer }
        if (fits(problem, estimateOf(problem, setting, choice.cost))) return setting
      }
  throw new Error("planner: expected what was found to fit")
}

/** Limits that, loosened by 10 % (a rank: to the next one of the terms), allow a plan worth more. */
async function bindingOf(
  problem: Problem,
  { value, scores, limits }: { value: number; scores: ModuleScores; limits: SolverLimits },
): Promise<Binding[]> {
  const { base, profile, terms } = problem
  const { memoryBytes, uploadBytesMax, rankMax } = profile
  const nextRank = Math.min(...terms.ranks.filter((rank) => rank > rankMax))
  const loosened: readonly (readonly [Binding, boolean, Partial<DeviceProfile>, Partial<PlanningTerms>])[] = [
    ["memory", memoryBytes > 0, { memoryBytes: LOOSENED * memoryBytes }, {}],
    ["time", terms.deadlineMs > 0, {}, { deadlineMs: LOOSENED * terms.deadlineMs }],
    ["upload", uploadBytesMax > 0, { uploadBytesMax: LOOSENED * uploadBytesMax }, {}],
    ["rank", rankMax > 0 && Number.isFinite(nextRank), { rankMax: nextRank }, {}],
  ]
  const binding: Binding[] = []
  for (const [name, limited, ofProfile, ofTerms] of loosened) {
    if (!limited) continue
    const looser = { profile: { ...profile, ...ofProfile }, terms: { ...terms, ...ofTerms } }
    const found =
      name === "rank"
        ? await search(problemOf(base, looser.profile, scores, terms), { above: value, limits })
        : await search({ ...problem, ...looser }, { above: value, solved: problem, limits })
    if (found) binding.push(name)
  }
  return binding
}
