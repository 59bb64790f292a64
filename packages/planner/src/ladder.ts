import { gainOf } from "./gain.js"

/** A linear that may get an adapter: rank r costs `size` x r numbers and is worth `score` x gain(r). */
export interface Candidate {
  readonly name: string
  readonly layer: number
  /** out + in features. */
  readonly size: number
  /** Share of the scores of all modules, above 0. */
  readonly score: number
}

/** One module's way from a rank (or none) to the next. */
interface Rung {
  /** Index in `Problem.modules`. */
  readonly module: number
  /** Rank after it. */
  readonly rank: number
  /** Numbers in A and B that it adds. */
  readonly cost: number
  /** Score x gain of rank that it adds. */
  readonly value: number
}

/** Every rung of the modules in and above one block, the most value per number first. */
export interface Ladder {
  readonly rungs: readonly Rung[]
  /** Sums of the first k rungs, k = 0, 1, ... */
  readonly costs: readonly number[]
  readonly values: readonly number[]
}

/** Ranks of the modules that get an adapter, by index in `Problem.modules`. */
export interface Choice {
  readonly ranks: ReadonlyMap<number, number>
  readonly cost: number
  readonly value: number
}

/** Ladder of each block from the lowest with an adapter up. */
export function laddersOf(
  modules: readonly Candidate[],
  { ranks, layers }: { ranks: readonly number[]; layers: number },
): readonly Ladder[] {
  const rungs = modules.flatMap(({ size, score }, module) =>
    ranks.map((rank, i): Rung => {
      const below = i === 0 ? 0 : (ranks[i - 1] as number)
      return { module, rank, cost: size * (rank - below), value: score * (gainOf(rank) - gainOf(below)) }
    }),
  )
  const density = ({ value, cost }: Rung): number => value / cost
  const sorted = rungs
    .filter(({ value }) => value > 0) // very large ranks gain nothing an f64 can show
    .sort((left, right) => density(right) - density(left) || left.rank - right.rank || right.module - left.module)
  return Array.from({ length: layers }, (_, lowest) => {
    const own = sorted.filter(({ module }) => (modules[module]?.layer ?? 0) >= lowest)
    return { rungs: own, costs: sumsOf(own.map(({ cost }) => cost)), values: sumsOf(own.map(({ value }) => value)) }
  })
}

function sumsOf(values: readonly number[]): number[] {
  const sums = [0]
  for (const value of values) sums.push((sums.at(-1) as number) + value)
  return sums
}

/** The rung that no longer fits when they are taken in order; how many there are if all fit. */
function breakOf({ costs }: Ladder, capacity: number): number {
  let [low, high] = [0, costs.length - 1]
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if ((costs[middle] as number) <= capacity) low = middle
    else high = middle - 1
  }
  return low
}

/**
 * What no choice within `capacity` can pass, and the price of a number there: the linear relaxation (Dantzig 1957),
 * whose solution is the rungs in order and a part of the next. A module's rungs are in their own order, because the
 * gain is concave in the rank.
 */
export function boundOf(ladder: Ladder, capacity: number): { value: number; price: number } {
  const at = breakOf(ladder, capacity)
  const next = ladder.rungs[at]
  const value = ladder.values[at] as number
  if (next === undefined) return { value, price: 0 }
  const price = next.value / next.cost
  return { value: value + price * (capacity - (ladder.costs[at] as number)), price }
}

/** Rungs in order as long as they fit; a module whose rung did not fit stays where it is. */
export function greedyChoice(ladder: Ladder, capacity: number): Choice {
  const at = breakOf(ladder, capacity)
  const ranks = new Map<number, number>()
  let [cost, value] = [0, 0]
  const stopped = new Set<number>()
  for (const [i, rung] of ladder.rungs.entries()) {
    if (i >= at && (stopped.has(rung.module) || cost + rung.cost > capacity)) {
      stopped.add(rung.module)
      continue
    }
    ranks.set(rung.module, rung.rank)
    cost += rung.cost
    value += rung.value
  }
  return { ranks, cost, value }
}
