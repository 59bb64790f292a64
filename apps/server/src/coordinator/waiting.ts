import type { Selecting } from "../round/round.js"

/** What a run that draws no cohort yet lacks, for people: its next round, and who is there of those it wants. */
export function lacking(
  { target, minimum, patienceMs }: Selecting,
  at: { round: number; here: number; nowMs: number },
) {
  const { round, here, nowMs } = at
  const needed = nowMs >= patienceMs ? minimum : target
  const wanted = `round ${round} starts when ${needed} ${needed === 1 ? "client is" : "clients are"} there`
  const there = `${here} ${here === 1 ? "is" : "are"}`
  return minimum < needed && patienceMs < Infinity
    ? `${wanted}, or after a while with ${minimum}; ${there}`
    : `${wanted}, ${there}`
}
