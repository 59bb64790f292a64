import { boundOf, greedyChoice } from "./ladder.js"
import type { Choice, Ladder } from "./ladder.js"
import { improve } from "./milp.js"
import type { SolverLimits } from "./milp.js"
import { capacityOf, precisionsOf } from "./problem.js"
import type { Problem } from "./problem.js"

/** Step counts that are looked at, beside one step. */
const STEP_CHOICES = 32

/** Plans whose values (shares of 1) are less apart are worth the same. */
export const SAME_VALUE = 1e-5

/** A lowest block, a number of steps and gradient checkpointing or not, in the least memory there is for it. */
interface Branch {
  readonly lowestLayer: number
  readonly steps: number
  readonly gradientCheckpointing: boolean
  readonly capacity: number
  readonly ladder: Ladder
  /** No plan of this branch is worth more. */
  readonly bound: number
}

/** The best modules, ranks and steps, and under which gradient checkpointing they were seen to fit. */
export interface Found extends Pick<Branch, "steps" | "gradientCheckpointing"> {
  readonly choice: Choice
  readonly value: number
  /** Nothing is worth more; false where the solver met its limit. */
  readonly proven: boolean
}

/**
 * The most valuable plan that is worth more than `above`; undefined where there is none. Only modules, ranks and steps
 * are worth something; holding the base in fewer bytes, smaller micro-batches and gradient checkpointing only make
 * room. So the search is over lowest blocks, steps and gradient checkpointing in the smallest precision and batch,
 * best bound first, and stops where no bound is above what it has (branch and bound). In each branch HiGHS improves on
 * the greedy choice. With `solved`, a tighter problem with the same modules and ranks whose best is worth `above`, the
 * first that is worth more is enough, and branches without more room than they had there hold none.
 */
export async function search(
  problem: Problem,
  { above, solved, limits }: { above: number; solved?: Problem; limits: SolverLimits },
): Promise<Found | undefined> {
  const branches = branchesOf(problem, solved)
  let best: Found | undefined
  let late = false
  const floor = (): number => {
    const most = Math.max(above, best?.value ?? 0)
    return most === 0 ? 0 : most + SAME_VALUE // anything is better than no plan
  }
  const take = ({ steps, gradientCheckpointing }: Branch, choice: Choice): void => {
    const value = (choice.value / problem.fullValue) * (steps / problem.terms.steps)
    if (value > floor()) best = { steps, gradientCheckpointing, choice, value, proven: true }
  }
  const starts = new Map<Branch, Choice>()
  for (const branch of branches) {
    if (branch.bound <= floor()) break
    const start = greedyChoice(branch.ladder, branch.capacity)
    starts.set(branch, start)
    take(branch, start)
    if (best && solved) return best
  }
  for (const [branch, start] of starts) {
    if (branch.bound <= floor()) break
    const { capacity, ladder } = branch
    // worth solving only for what beats the best of all branches
    const needed = (floor() * problem.fullValue * problem.terms.steps) / branch.steps
    const from = start.value >= needed ? start : { ...start, value: needed }
    const same = (SAME_VALUE * problem.fullValue * problem.terms.steps) / branch.steps
    const result = await improve(problem, ladder, { capacity, start: from, same, limits })
    if (result === "late") {
      late = true
      break // one hard branch is all the time a client gets
    }
    if (result !== "start") take(branch, result)
    if (best && solved) return best
  }
  return best && { ...best, proven: !late }
}

function branchesOf(problem: Problem, solved: Problem | undefined): Branch[] {
  const { base, terms, profile, fullValue, ladders } = problem
  const precision = [...precisionsOf(profile, terms)].sort((left, right) => base.bytes[left] - base.bytes[right])[0]
  if (precision === undefined) return []
  const batch = batchesOf(problem).at(-1) ?? 1
  const branches: Branch[] = []
  for (const [lowestLayer, ladder] of ladders.entries())
    for (const gradientCheckpointing of [false, true]) {
      const capacityIn = (problem: Problem, steps: number): number =>
        capacityOf(problem, { precision, batch, gradientCheckpointing, steps, lowestLayer })
      const most = capacityIn(problem, 1)
      for (const steps of stepChoices(terms.steps)) {
        const branch = { lowestLayer, steps, gradientCheckpointing, ladder, capacity: capacityIn(problem, steps) }
        const value = branch.capacity < 0 ? 0 : boundOf(ladder, branch.capacity).value
        const known = solved !== undefined && capacityIn(solved, steps) === branch.capacity
        if (value > 0 && !known) branches.push({ ...branch, bound: (value / fullValue) * (steps / terms.steps) })
        if (branch.capacity === most) break // fewer steps make no more room
      }
    }
  const order = (left: Branch, right: Branch): number =>
    right.bound - left.bound || right.steps - left.steps || left.lowestLayer - right.lowestLayer
  return branches.sort(order) // stable: without gradient checkpointing first
}

/** All numbers of steps to 32, 32 evenly spread ones beyond, the most first; one step is always among them. */
function stepChoices(steps: number): number[] {
  const choices = Array.from({ length: STEP_CHOICES }, (_, i) => Math.ceil((steps * (STEP_CHOICES - i)) / STEP_CHOICES))
  return [...new Set([...choices, 1])]
}

/** Most micro-batches a plan may ask for (packages/protocol, Plan). */
const ACCUMULATE_MAX = 1_024

/** Rows per micro-batch that divide the rows of a step, the most first. */
export function batchesOf({ terms }: Problem): number[] {
  const { batch, accumulate = 1 } = terms
  return Array.from({ length: batch }, (_, i) => batch - i).filter(
    (rows) => batch % rows === 0 && (rows === batch || (batch / rows) * accumulate <= ACCUMULATE_MAX),
  )
}
