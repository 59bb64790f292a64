/** How one finished round ended, as the run sees it. */
export type Outcome = "published" | "abandoned" | "cancelled"

/** What a run does next. */
type Continuation = "open-next" | "retry" | "done" | "failed"

/**
 * The rule of a run: it is done when `rounds` rounds were published. An abandoned round is tried again once, under
 * the next round number (a number is never used for two headers, so an envelope of the abandoned round can never
 * count in its retry); two abandoned rounds in a row fail the run.
 */
export function afterRound(outcomes: readonly Outcome[], rounds: number): Continuation {
  const published = outcomes.filter((outcome) => outcome === "published").length
  if (published >= rounds) return "done"
  const last = outcomes.at(-1)
  if (last === undefined || last === "published") return "open-next"
  if (last === "cancelled" || outcomes.at(-2) === "abandoned") return "failed"
  return "retry"
}
