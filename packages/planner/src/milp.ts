import { createRequire } from "node:module"

import type * as Highs from "highs"

import { gainOf } from "./gain.js"
import { boundOf } from "./ladder.js"
import type { Choice, Ladder } from "./ladder.js"
import type { Problem } from "./problem.js"

/** What the solver may spend on one client and setting. Nodes come first where a problem is hard: they do not vary. */
export interface SolverLimits {
  readonly nodesMax: number
  readonly secondsMax: number
}

/** Modules that are alike to the solver: the same cost and value at every rank. */
interface Group {
  /** Indices in `Problem.modules`, the topmost block first. */
  readonly members: readonly number[]
  readonly options: readonly Option[]
}

/** A rank of one module, 0 for no adapter. */
interface Option {
  readonly rank: number
  readonly cost: number
  readonly value: number
}

/** By require: the types of `highs` describe its CommonJS build. */
const { default: loadHighs } = createRequire(import.meta.url)("highs") as typeof Highs.default
const solver = once(loadHighs)

/**
 * The best choice within `capacity`, if it is better than `start`, from the mixed-integer program
 *
 *   maximise sum score_j gain(r) x[j,r]  subject to  sum size_j r x[j,r] <= capacity,  sum_r x[j,r] = 1
 *
 * (x binary, r from 0). Options that no solution better than `start` can hold are left out first, by what they lose
 * against the relaxation's price of a number (Pisinger 1995, the core of a multiple-choice knapsack), and modules that
 * are alike are counted instead of told apart. Values less than `same` apart count as equal. `late`: HiGHS met its
 * limit before it knew.
 */
export async function improve(
  problem: Problem,
  ladder: Ladder,
  { capacity, start, same, limits }: { capacity: number; start: Choice; same: number; limits: SolverLimits },
): Promise<Choice | "start" | "late"> {
  const groups = groupsOf(problem, ladder, { capacity, above: start.value })
  const fixed = groups.filter(({ options }) => options.length === 1)
  const open = groups.filter(({ options }) => options.length > 1)
  const left = capacity - sum(fixed.map(({ members, options }) => members.length * (options[0] as Option).cost))
  if (groups.some(({ options }) => options.length === 0) || left < 0 || open.length === 0) return "start"
  const highs = await solver()
  const { nodesMax, secondsMax } = limits
  const result = highs.solve(programOf(open, left), {
    ...{ output_flag: false, mip_rel_gap: 0, mip_abs_gap: scaleOf(open) * same },
    ...{ mip_max_nodes: nodesMax, time_limit: secondsMax },
  })
  if (result.Status === "Infeasible") return "start" // the options left do not fit together: nothing is better
  if (result.Status !== "Optimal") return "late"
  const counts = open.map(({ options }, g) =>
    options.map((_, o) => Math.round(result.Columns[`x${g}_${o}`]?.Primal ?? 0)),
  )
  const choice = choiceOf([...fixed, ...open], [...fixed.map(({ members }) => [members.length]), ...counts])
  if (choice.cost > capacity) throw new Error(`highs: expected at most ${capacity} numbers, got ${choice.cost}`)
  return choice.value > start.value ? choice : "start"
}

/** Modules of the ladder by what they cost and are worth, with the options that a better choice may hold. */
function groupsOf(
  { modules, ranks }: Problem,
  ladder: Ladder,
  { capacity, above }: { capacity: number; above: number },
): Group[] {
  const bound = boundOf(ladder, capacity)
  const alike = new Map<string, number[]>()
  const inLadder = [...new Set(ladder.rungs.map(({ module }) => module))].sort((left, right) => right - left)
  for (const module of inLadder) {
    const { size, score } = modules[module] as Problem["modules"][number]
    const key = `${size} ${score}`
    alike.set(key, [...(alike.get(key) ?? []), module])
  }
  return [...alike.values()].map((members) => {
    const { size, score } = modules[members[0] as number] as Problem["modules"][number]
    const all = [0, ...ranks].map((rank): Option => ({ rank, cost: size * rank, value: score * gainOf(rank) }))
    const reduced = all.map(({ cost, value }) => value - bound.price * cost)
    const best = Math.max(...reduced)
    return { members, options: all.filter((_, i) => bound.value - (best - (reduced[i] as number)) > above - ROUNDING) }
  })
}

/** Sums of values add up to 1; what their rounding can come to. */
const ROUNDING = 1e-12

/** CPLEX LP text. Costs are divided by what they have in common, so that the program is one of small whole numbers. */
function programOf(groups: readonly Group[], capacity: number): string {
  const unit = groups.flatMap(({ options }) => options.map(({ cost }) => cost)).reduce(greatestCommonDivisor, 0) || 1
  const scale = scaleOf(groups)
  const terms = (of: (option: Option) => number): string =>
    groups.flatMap(({ options }, g) => options.map((option, o) => `+ ${of(option)} x${g}_${o}`)).join("\n ")
  const names = groups.map(({ options }, g) => options.map((_, o) => `x${g}_${o}`))
  return [
    `Maximize\n value: ${terms(({ value }) => Number((scale * value).toPrecision(15)))}`,
    `Subject To\n numbers: ${terms(({ cost }) => cost / unit)} <= ${Math.floor(capacity / unit)}`,
    ...names.map((own, g) => ` each${g}: ${own.join(" + ")} = ${groups[g]?.members.length}`),
    `Bounds\n ${names.flatMap((own, g) => own.map((name) => `${name} <= ${groups[g]?.members.length}`)).join("\n ")}`,
    `Generals\n ${names.flat().join("\n ")}\nEnd`,
  ].join("\n")
}

/** Brings the largest value to 10,000, far from the solver's own tolerances of 1e-6. */
function scaleOf(groups: readonly Group[]): number {
  return 1e4 / Math.max(...groups.flatMap(({ options }) => options.map(({ value }) => value)))
}

/** Larger ranks go to the upper blocks of a group. */
function choiceOf(groups: readonly Group[], counts: readonly (readonly number[])[]): Choice {
  const ranks = new Map<number, number>()
  let [cost, value] = [0, 0]
  for (const [g, { members, options }] of groups.entries()) {
    let next = 0
    for (let o = options.length - 1; o >= 0; o--) {
      const option = options[o] as Option
      for (let i = 0; i < (counts[g]?.[o] ?? 0); i++) {
        if (option.rank > 0) ranks.set(members[next] as number, option.rank)
        next++
        cost += option.cost
        value += option.value
      }
    }
  }
  return { ranks, cost, value }
}

function greatestCommonDivisor(left: number, right: number): number {
  return right === 0 ? left : greatestCommonDivisor(right, left % right)
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () => (made ??= make())
}
