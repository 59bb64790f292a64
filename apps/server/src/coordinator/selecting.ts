import type { Recipe } from "@lamina/protocol/recipe"

import type { Selecting } from "../round/round.js"
import { quorumOf } from "../round/step.js"

/** What a round is to wait for depends on; times in ms since 1970. */
interface Drawing {
  readonly cohort: Recipe["cohort"]
  /** The number of the round, from 1. */
  readonly round: number
  /** When the coordinator's patience with clients that are not there yet is over. */
  readonly patienceMs: number
  /** Whoever embeds the coordinator says who is there: then no round waits for all clients. */
  readonly presenceIsTold: boolean
  /** Buffered runs: clients that still train for earlier rounds. */
  readonly busy: number
  /** Buffered runs: until then clients may still come back after a restart. */
  readonly comingBackMs: number
}

/** How long a round waits for clients: the first for all it wants, others for their quorum once patience is over. */
export function selectingOf({ cohort, round, patienceMs, presenceIsTold, busy, comingBackMs }: Drawing): Selecting {
  const { clients = 1, overSelection, quorum, buffer } = cohort
  if (buffer) {
    const idle = Math.max(0, clients - busy)
    // a round of a buffered run may open with nobody: what comes from earlier ones fills it
    const minimum = busy > 0 ? 0 : Math.min(idle, buffer.size)
    return { phase: "selecting", target: idle, minimum, patienceMs: round === 1 ? patienceMs : comingBackMs }
  }
  const target = Math.ceil(clients * overSelection - 1e-9)
  const first = round === 1 && !presenceIsTold
  const minimum = first ? clients : quorumOf({ size: clients, share: quorum })
  return { phase: "selecting", target, minimum, patienceMs: first && target === clients ? Infinity : patienceMs }
}
